// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Where the windows of a convolution lie, and their values as rows of a matrix.

#include <algorithm>
#include <cstddef>
#include <string>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {

/// A size in two dimensions, in pixels.
struct extent2d {
  std::size_t height = 1;
  std::size_t width = 1;
};

/// Images of one size.
struct image_batch {
  std::size_t count = 1;
  std::size_t height = 1;
  std::size_t width = 1;
};

/// The geometry of a convolution, in pixels.
struct conv2d_window {
  extent2d kernel;
  extent2d stride;
  extent2d padding{0, 0};        ///< above and to the left of an image
  extent2d padding_after{0, 0};  ///< below and to the right
  extent2d dilation;             ///< from one pixel of the kernel to the next

  /// `padding` on all four sides.
  [[nodiscard]] QOMPOSE_INLINE static conv2d_window same_padding(extent2d kernel, extent2d stride,
                                                                 extent2d padding) noexcept {
    return {kernel, stride, padding, padding, {}};
  }

  /// Height and width of the result.
  /// @throws qompose::shape_error if the window is larger than the padded image
  [[nodiscard]] QOMPOSE_INLINE extent2d output(extent2d image) const {
    const auto length = [](const char* what, std::size_t size, std::size_t before,
                           std::size_t after, std::size_t taps, std::size_t spacing,
                           std::size_t step) {
      const std::size_t padded = size + before + after;
      const std::size_t window = (taps - 1) * spacing + 1;
      if (window > padded) {
        throw shape_error(std::string("conv2d: ") + what +
                          " of a window: " + std::to_string(window) +
                          ", expected at most the padded image's " + std::to_string(padded));
      }
      return (padded - window) / step + 1;
    };
    return {length("height", image.height, padding.height, padding_after.height, kernel.height,
                   dilation.height, stride.height),
            length("width", image.width, padding.width, padding_after.width, kernel.width,
                   dilation.width, stride.width)};
  }

  /// Whether the windows are the pixels themselves.
  [[nodiscard]] QOMPOSE_INLINE bool is_one_pixel() const noexcept {
    return kernel.height * kernel.width * stride.height * stride.width == 1 &&
           padding.height + padding.width + padding_after.height + padding_after.width == 0;
  }
};

namespace detail {

/// The channels of one group of a batch of images.
template <class T>
struct window_source {
  const T* pixels = nullptr;  ///< the first channel of the first pixel
  std::size_t stride = 0;     ///< from one pixel to the next, in elements
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t channels = 0;
  T outside{};  ///< what stands outside an image
};

inline namespace QOMPOSE_ISA {

/// @throws qompose::argument_error if a length is 0
inline void require_window(const char* what, const conv2d_window& window) {
  const auto require = [&](const char* part, extent2d extent) {
    if (extent.height == 0 || extent.width == 0) {
      throw argument_error(std::string(what) + ": " + part + ": " + std::to_string(extent.height) +
                           " x " + std::to_string(extent.width) + ", expected at least 1 x 1");
    }
  };
  require("kernel", window.kernel);
  require("stride", window.stride);
  require("dilation", window.dilation);
}

/// The windows of output positions [first, first + count) as rows,
/// [count, kernel height * kernel width * channels].
///
/// @param out  height and width of the result
template <class T>
void copy_windows(const window_source<T>& x, const conv2d_window& window, extent2d out,
                  std::size_t first, std::size_t count, T* rows) {
  const std::size_t line = window.kernel.width * x.channels;
  for (std::size_t position = first; position < first + count; ++position) {
    const std::size_t image = position / (out.height * out.width);
    // Both may lie before the image by the padding: differences wrap, and fail the comparisons.
    const std::size_t top =
        position / out.width % out.height * window.stride.height - window.padding.height;
    const std::size_t left = position % out.width * window.stride.width - window.padding.width;
    const bool whole_lines = window.dilation.width == 1 && x.stride == x.channels &&
                             left < x.width && window.kernel.width <= x.width - left;
    for (std::size_t ky = 0; ky < window.kernel.height; ++ky, rows += line) {
      const std::size_t y = top + ky * window.dilation.height;
      if (y >= x.height) {
        std::fill_n(rows, line, x.outside);
        continue;
      }
      const T* pixels = x.pixels + (image * x.height + y) * x.width * x.stride;
      if (whole_lines) {
        std::copy_n(pixels + left * x.stride, line, rows);
        continue;
      }
      for (std::size_t kx = 0; kx < window.kernel.width; ++kx) {
        const std::size_t column = left + kx * window.dilation.width;
        if (column < x.width) {
          std::copy_n(pixels + column * x.stride, x.channels, rows + kx * x.channels);
        } else {
          std::fill_n(rows + kx * x.channels, x.channels, x.outside);
        }
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail
}  // namespace qompose

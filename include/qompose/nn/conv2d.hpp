// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Convolution of images as a linear layer over the window of each output position.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/nn/conv2d_window.hpp"
#include "qompose/nn/integer_linear.hpp"
#include "qompose/nn/linear.hpp"

namespace qompose {

/// Scratch memory of a convolution, reused between calls; concurrent calls need one each.
struct conv2d_workspace {
  /// Shares that the output positions are dealt to, whoever runs them.
  static constexpr std::size_t shares = 16;
  workspace windows[shares];
  workspace products[shares];
};

/// y[n, i, j] = W window(x, n, i, j) + bias: a layer applied to the window of each output position.
///
/// Images are NHWC: a matrix with one row a pixel, [images * height * width, channels], and so are
/// the results. A window is a row of kernel height * kernel width * in_channels / groups values in
/// this order, so W is [out_channels, the same]. What lies outside the image counts as 0: for
/// integer layers that is the code of the zero point. The matrix of all windows never exists; a few
/// hundred rows of it are made at a time.
///
/// With `recipe<weight<binary_channel>, activation<quant<binary, per_token>>>` this is XNOR-Net's
/// convolution: the scale of a window, the mean of its magnitudes, is the K map of the paper, the
/// box filter over mean |x| of the channels. Padding has the sign of 0, which is 1.
///
/// @tparam Layer  `linear<...>` or `integer_linear<...>`
/// @par Source
/// Jacob et al., CVPR 2018, arXiv:1712.05877, section 2.3 (integers); Rastegari et al., "XNOR-Net",
/// ECCV 2016, arXiv:1603.05279, section 3.2 (K).
template <class Layer>
class conv2d {
 public:
  using layer_type = Layer;

  QOMPOSE_INLINE conv2d() = default;

  /// @param groups  a layer for each group of channels, of one shape; `compress_conv2d` makes them
  /// @throws qompose::shape_error if their shapes differ or do not fit the window
  /// @throws qompose::argument_error if a length of the window is 0 or there is no group
  QOMPOSE_INLINE conv2d(conv2d_window window, std::vector<Layer> groups)
      : window_(window), groups_(std::move(groups)) {
    detail::require_window("conv2d", window);
    if (groups_.empty()) throw argument_error("conv2d: groups: 0, expected at least 1");
    const std::size_t pixels = window.kernel.height * window.kernel.width;
    const std::size_t in = groups_.front().in_features();
    const std::size_t out = groups_.front().out_features();
    if (in % pixels != 0) {
      throw shape_error("conv2d: weights: " + std::to_string(in) +
                        " columns, expected a multiple of the kernel's " + std::to_string(pixels) +
                        " pixels");
    }
    for (const Layer& layer : groups_) {
      if (layer.in_features() != in || layer.out_features() != out) {
        throw_shape_error("conv2d: weights of a group", layer.out_features(), layer.in_features(),
                          out, in);
      }
    }
    group_channels_ = in / pixels;
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t in_channels() const noexcept {
    return groups_.size() * group_channels_;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t out_channels() const noexcept {
    return groups_.empty() ? 0 : groups_.size() * groups_.front().out_features();
  }
  [[nodiscard]] QOMPOSE_INLINE const conv2d_window& window() const noexcept { return window_; }
  /// The layers, one a group of channels.
  [[nodiscard]] QOMPOSE_INLINE std::span<const Layer> groups() const noexcept { return groups_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    std::size_t bytes = 0;
    for (const Layer& layer : groups_) bytes += layer.storage_bytes();
    return bytes;
  }

  /// Runs the convolution.
  ///
  /// @param x        [images * height * width, in_channels]; floats, or the codes that the layer
  ///                 takes
  /// @param images   how many, and their height and width
  /// @param y        [images * output height * output width, out_channels], overwritten; of any
  ///                 type that the layer writes; must not overlap x
  /// @param run      who runs the pieces; the result does not depend on it
  /// @param scratch  reused between calls; a call no larger than an earlier one allocates nothing
  /// @throws qompose::shape_error if x or y disagree with the images and the weights, or a window
  ///         is larger than a padded image; nothing is written then
  template <class In, class Out, executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<In> x, image_batch images, matrix_view<Out> y, const Executor& run,
                  conv2d_workspace& scratch) const {
    using value = std::remove_const_t<In>;
    const extent2d out = window_.output({images.height, images.width});
    if (x.rows() != images.count * images.height * images.width || x.cols() != in_channels()) {
      throw_shape_error("conv2d: x", x.rows(), x.cols(),
                        images.count * images.height * images.width, in_channels());
    }
    const std::size_t positions = images.count * out.height * out.width;
    if (y.rows() != positions || y.cols() != out_channels()) {
      throw_shape_error("conv2d: y", y.rows(), y.cols(), positions, out_channels());
    }

    const std::size_t group_out = out_channels() / groups_.size();
    const auto results = [&](std::size_t g, std::size_t first, std::size_t count) {
      return matrix_view<Out>(y.row(first) + g * group_out, count, group_out, y.row_stride());
    };
    if (window_.is_one_pixel()) {
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        const matrix_view<const value> pixels(x.data() + g * group_channels_, x.rows(),
                                              group_channels_, x.row_stride());
        groups_[g].template operator()<Executor, Isa>(pixels, results(g, 0, positions), run,
                                                      scratch.products[0]);
      }
      return;
    }

    // Some hundred KiB of windows a share; cut by shape alone.
    const std::size_t length = groups_.front().in_features();
    constexpr std::size_t window_bytes = std::size_t{1} << 18;
    const std::size_t tile = std::clamp<std::size_t>(
        window_bytes / std::max<std::size_t>(length * sizeof(value), 1), 32, 512);
    const std::size_t tiles = divide_up(positions, tile);
    const std::size_t shares = std::min(tiles, conv2d_workspace::shares);
    for (std::size_t s = 0; s < shares; ++s) {
      static_cast<void>(scratch.windows[s].reserve(tile * length * sizeof(value)));
    }
    run.for_each(shares, [&](std::size_t s) {
      auto* windows = reinterpret_cast<value*>(scratch.windows[s].reserve(0));
      for (std::size_t t = s; t < tiles; t += shares) {
        const std::size_t first = t * tile;
        const std::size_t count = std::min(tile, positions - first);
        for (std::size_t g = 0; g < groups_.size(); ++g) {
          const detail::window_source<value> source{x.data() + g * group_channels_,
                                                    x.row_stride(),
                                                    images.height,
                                                    images.width,
                                                    group_channels_,
                                                    padding<value>(groups_[g])};
          detail::copy_windows(source, window_, out, first, count, windows);
          groups_[g].template operator()<serial, Isa>(
              matrix_view<const value>(windows, count, length), results(g, first, count), serial{},
              scratch.products[s]);
        }
      }
    });
  }

  /// The same with scratch memory of its own.
  template <class In, class Out, executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<In> x, image_batch images, matrix_view<Out> y,
                  const Executor& run = {}) const {
    conv2d_workspace scratch;
    this->template operator()<In, Out, Executor, Isa>(x, images, y, run, scratch);
  }

 private:
  template <class Value>
  [[nodiscard]] QOMPOSE_INLINE static Value padding(const Layer& layer) noexcept {
    if constexpr (std::is_same_v<Value, float>) {
      static_cast<void>(layer);
      return 0.0f;
    } else {
      return static_cast<Value>(layer.input().zero_point);
    }
  }

  conv2d_window window_;
  std::size_t group_channels_ = 0;
  std::vector<Layer> groups_;
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// `compress_rows(weights, bias)` for the output channels of each group.
template <class CompressRows>
[[nodiscard]] auto compress_groups(matrix_view<const float> weights, std::size_t groups,
                                   std::span<const float> bias, const CompressRows& compress_rows) {
  using layer = decltype(compress_rows(weights, bias));
  if (groups == 0 || weights.rows() % groups != 0) {
    throw argument_error("compress_conv2d: groups: " + std::to_string(groups) +
                         ", expected a divisor of the " + std::to_string(weights.rows()) +
                         " output channels");
  }
  if (!bias.empty() && bias.size() != weights.rows()) {
    throw shape_error("compress_conv2d: bias: " + std::to_string(bias.size()) +
                      " elements, expected " + std::to_string(weights.rows()));
  }
  const std::size_t rows = weights.rows() / groups;
  std::vector<layer> layers;
  layers.reserve(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    layers.push_back(compress_rows(weights.rows(g * rows, rows),
                                   bias.empty() ? bias : bias.subspan(g * rows, rows)));
  }
  return layers;
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Dense weights to a convolution that stores them as a recipe says.
///
/// @tparam Recipe  a recipe or a tensor spec; scales lie along a window, and a `per_tensor` scale
///                 is one a group of channels
/// @param weights  [out_channels, kernel height * kernel width * in_channels / groups], finite
/// @param window   kernel, stride, padding and dilation
/// @param groups   of channels that do not mix, a divisor of out_channels
/// @param bias     [out_channels], or empty for none
/// @param rule     finds the scales
/// @param run      who runs the rows; the result does not depend on it
/// @throws qompose::error as `compress` and the constructor of @ref qompose::conv2d do
template <class Recipe, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] conv2d<linear<Recipe>> compress_conv2d(matrix_view<const float> weights,
                                                     conv2d_window window, std::size_t groups = 1,
                                                     std::span<const float> bias = {},
                                                     const Rule& rule = {},
                                                     const Executor& run = {}) {
  return {window, detail::compress_groups(weights, groups, bias, [&](auto w, auto b) {
            return compress<Recipe>(w, b, rule, run);
          })};
}

/// The same for integer-only convolutions; see `compress_integer` for what is not said here.
template <class Input = uint8, class Output = Input, class Weights = w8_channel,
          class Rule = default_rule, executor Executor = serial>
[[nodiscard]] conv2d<integer_linear<Input, Output, Weights>> compress_integer_conv2d(
    matrix_view<const float> weights, conv2d_window window, std::size_t groups,
    std::span<const float> bias, std::type_identity_t<affine<Input>> input,
    std::type_identity_t<affine<Output>> output, code_bounds bounds, const Rule& rule = {},
    const Executor& run = {}) {
  return {window, detail::compress_groups(weights, groups, bias, [&](auto w, auto b) {
            return compress_integer<Input, Output, Weights>(w, b, input, output, bounds, rule, run);
          })};
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

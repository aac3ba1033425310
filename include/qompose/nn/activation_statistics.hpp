// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What activations of a layer looked like, for the scales that a calibrated recipe stores.

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/transforms/no_transform.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose {

/// The largest magnitude of each column of a layer's inputs, behind the transform that the layer
/// applies to them. `compress` makes the scales of `activation<..., calibrated>` from it:
///
/// ```cpp
/// qp::activation_statistics<recipe::transform_type> inputs(in_features);
/// inputs.add(x);  // rows of typical activations, as often as there are some
/// auto layer = qp::compress<recipe>(weights, bias, inputs);
/// ```
///
/// @tparam Transform  of the recipe; without one, `qp::activation_statistics inputs(in_features)`
/// @par Identity
/// The same on every target: the order of a transform's additions is stated.
template <class Transform = no_transform>
class activation_statistics {
 public:
  using transform_type = Transform;
  using transform_data = typename Transform::data;

  /// For transforms whose data follows from in_features.
  QOMPOSE_INLINE explicit activation_statistics(std::size_t in_features)
      : transform_(detail::transform_data_for<Transform>(in_features)), peaks_(in_features) {}
  /// @throws qompose::shape_error if the transform is not for rows of in_features
  QOMPOSE_INLINE activation_statistics(std::size_t in_features, transform_data transform)
      : transform_(std::move(transform)), peaks_(in_features) {
    detail::require_transform_data<Transform>(transform_, in_features);
  }

  /// Takes in rows of activations, not yet transformed.
  /// @param x  [n_tokens, in_features], finite
  /// @throws qompose::shape_error if x has another number of columns
  /// @throws qompose::value_error at a NaN or an infinity, also one that the transform makes,
  /// naming
  ///         its position; nothing is changed then
  template <class Isa = isa_tag>
  void add(matrix_view<const float> x) {
    if (x.cols() != in_features()) {
      throw_shape_error("activation_statistics: x", x.rows(), x.cols(), x.rows(), in_features());
    }
    detail::require_finite("activation_statistics: x", x);
    aligned_buffer<float> peaks(peaks_);
    aligned_buffer<float> row(in_features());
    for (std::size_t t = 0; t < x.rows() && in_features() > 0; ++t) {
      detail::with_best_target<Isa>([&]<class Target>() {
        Target::template transform_row<Transform>::Run(transform_, x.row(t), row.data(), x.cols());
      });
      detail::require_finite("activation_statistics: transformed x", {row.data(), 1, row.size()},
                             t);
      for (std::size_t c = 0; c < row.size(); ++c) {
        const float magnitude = std::fabs(row[c]);
        if (magnitude > peaks[c]) peaks[c] = magnitude;
      }
    }
    peaks_ = std::move(peaks);
    n_tokens_ += x.rows();
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t in_features() const noexcept { return peaks_.size(); }
  /// Rows taken in.
  [[nodiscard]] QOMPOSE_INLINE std::size_t n_tokens() const noexcept { return n_tokens_; }
  /// The largest magnitude of each column of transformed inputs, [in_features].
  [[nodiscard]] QOMPOSE_INLINE std::span<const float> peaks() const noexcept {
    return {peaks_.data(), peaks_.size()};
  }
  [[nodiscard]] QOMPOSE_INLINE const transform_data& transform() const noexcept {
    return transform_;
  }

 private:
  [[no_unique_address]] transform_data transform_;
  aligned_buffer<float> peaks_;
  std::size_t n_tokens_ = 0;
};

}  // namespace qompose

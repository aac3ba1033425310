// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Activations of integer-only layers: 8-bit codes with a static scale and zero point.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// The codes from `lowest` to `highest`, both included.
struct code_bounds {
  std::int32_t lowest = 0;
  std::int32_t highest = 0;
};

/// value = scale * (code - zero_point), with one scale and one zero point for a whole tensor, known
/// before it runs. The real 0 has a code of its own, so padding with it is exact.
///
/// @tparam Element  int8 or uint8
/// @par Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, equation 1.
template <integer_format Element>
struct affine {
  static_assert(Element::bits == 8,
                "qompose: affine: the codes of integer-only layers have 8 bits; write affine<int8> "
                "or affine<uint8>");
  using element = Element;
  using code_type = typename Element::storage_type;

  float scale = 1.0f;           ///< > 0, in units of the value
  std::int32_t zero_point = 0;  ///< the code of 0

  /// The scale and zero point that spread all codes over [lowest, highest], stretched to hold 0.
  /// @throws qompose::argument_error unless both are finite and lowest <= highest
  [[nodiscard]] QOMPOSE_INLINE static affine of_range(float lowest, float highest) {
    if (!(std::isfinite(lowest) && std::isfinite(highest) && lowest <= highest)) {
      throw argument_error("affine: range: [" + std::to_string(lowest) + ", " +
                           std::to_string(highest) + "], expected finite numbers in this order");
    }
    const double low = std::min(static_cast<double>(lowest), 0.0);
    const double high = std::max(static_cast<double>(highest), 0.0);
    affine result;
    const double steps = Element::max_code - Element::min_code;
    result.scale = static_cast<float>((high - low) / steps);
    if (!(result.scale > 0.0f)) result.scale = 1.0f;
    const double zero = std::nearbyint(Element::min_code - low / static_cast<double>(result.scale));
    result.zero_point = static_cast<std::int32_t>(
        std::clamp(zero, double{Element::min_code}, double{Element::max_code}));
    return result;
  }

  /// The nearest code: the quotient by the scale is rounded, ties to even, before the zero point is
  /// added; saturates, NaN gives the code of 0.
  [[nodiscard]] QOMPOSE_INLINE code_type encode(float value) const noexcept {
    const std::int32_t steps = round_to_code(value / scale, -0x1p22f, 0x1p22f);
    return static_cast<code_type>(
        std::clamp<std::int32_t>(steps + zero_point, Element::min_code, Element::max_code));
  }
  /// The value of a code.
  [[nodiscard]] QOMPOSE_INLINE float decode(code_type code) const noexcept {
    return scale * static_cast<float>(static_cast<std::int32_t>(code) - zero_point);
  }

  /// All codes.
  [[nodiscard]] QOMPOSE_INLINE code_bounds all() const noexcept {
    return {Element::min_code, Element::max_code};
  }
  /// The codes of values of at least `lowest`; `at_least(0)` is a ReLU.
  [[nodiscard]] QOMPOSE_INLINE code_bounds at_least(float lowest) const noexcept {
    return {encode(lowest), Element::max_code};
  }
  /// The codes of values in [lowest, highest]; `between(0, 6)` is a ReLU6.
  [[nodiscard]] QOMPOSE_INLINE code_bounds between(float lowest, float highest) const noexcept {
    return {encode(lowest), encode(highest)};
  }
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// @throws qompose::argument_error unless the scale is positive and the zero point is a code
template <class Element>
void require_affine(const char* what, const affine<Element>& q) {
  if (!(q.scale > 0.0f && std::isfinite(q.scale))) {
    throw argument_error(std::string(what) + ": scale: " + std::to_string(q.scale) +
                         ", expected a positive finite number");
  }
  if (q.zero_point < Element::min_code || q.zero_point > Element::max_code) {
    throw argument_error(std::string(what) + ": zero_point: " + std::to_string(q.zero_point) +
                         ", expected a code of " + std::string(Element::name) + ", " +
                         std::to_string(Element::min_code) + " to " +
                         std::to_string(Element::max_code));
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Codes of a matrix of floats, as `q.encode` gives them one by one.
///
/// @param x      [rows, cols]
/// @param codes  [rows, cols], overwritten
/// @throws qompose::shape_error if the shapes disagree
template <class Element, class Isa = isa_tag>
void quantize(const affine<Element>& q, matrix_view<const float> x,
              matrix_view<typename Element::storage_type> codes) {
  if (codes.rows() != x.rows() || codes.cols() != x.cols()) {
    throw_shape_error("quantize: codes", codes.rows(), codes.cols(), x.rows(), x.cols());
  }
  if (x.cols() == 0) return;
  const auto encode = detail::with_best_target<Isa>(
      []<class Target>() { return &Target::template encode<Element, zero<uint8>>::Groups; });
  const auto zero_point = static_cast<float>(q.zero_point);
  for (std::size_t r = 0; r < x.rows(); ++r) {
    encode(x.row(r), x.cols(), x.cols(), &q.scale, &zero_point, nullptr, codes.row(r));
  }
}

/// The values of a matrix of codes.
///
/// @param codes  [rows, cols]
/// @param x      [rows, cols], overwritten
/// @throws qompose::shape_error if the shapes disagree
template <class Element>
void dequantize(const affine<Element>& q,
                std::type_identity_t<matrix_view<const typename Element::storage_type>> codes,
                matrix_view<float> x) {
  if (x.rows() != codes.rows() || x.cols() != codes.cols()) {
    throw_shape_error("dequantize: x", x.rows(), x.cols(), codes.rows(), codes.cols());
  }
  for (std::size_t r = 0; r < codes.rows(); ++r) {
    for (std::size_t c = 0; c < codes.cols(); ++c) x(r, c) = q.decode(codes(r, c));
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

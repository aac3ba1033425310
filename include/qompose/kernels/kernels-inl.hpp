// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Every kernel of the target at hand, and the door through which dispatch reaches them.

#if defined(QOMPOSE_KERNELS_KERNELS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_KERNELS_INL_HPP_
#undef QOMPOSE_KERNELS_KERNELS_INL_HPP_
#else
#define QOMPOSE_KERNELS_KERNELS_INL_HPP_
#endif

#include "qompose/kernels/attention-inl.hpp"
#include "qompose/kernels/decode-inl.hpp"
#include "qompose/kernels/digits-inl.hpp"
#include "qompose/kernels/elementwise-inl.hpp"
#include "qompose/kernels/float_matmul-inl.hpp"
#include "qompose/kernels/integer_matmul-inl.hpp"
#include "qompose/kernels/latent_attention-inl.hpp"
#include "qompose/kernels/pack-inl.hpp"
#include "qompose/kernels/prepare-inl.hpp"
#include "qompose/kernels/prepare_codes-inl.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/requantize-inl.hpp"
#include "qompose/kernels/table_columns-inl.hpp"
#include "qompose/kernels/transforms-inl.hpp"
#include "qompose/kernels/wide_matmul-inl.hpp"
#include "qompose/kernels/wide_rows-inl.hpp"
#include "qompose/kernels/xnor_matmul-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// What dispatch may reach, by name.
struct Kernels {
  template <class Layout, detail::code_scales scales = detail::code_scales::of_tokens,
            class Output = StoreScaled>
  using integer_matmul = IntegerMatmul<Layout, scales, Output>;
  /// For how many tokens tables are faster.
  template <class Layout>
  static constexpr std::size_t most_table_tokens = kMostTableTokens<Layout>;
  template <class Layout, detail::code_scales scales>
  using table_matmul = IntegerMatmul<Layout, scales, StoreScaled, 1, TableColumns<Layout>>;
  /// For float activations.
  template <class Layout>
  using digit_matmul =
      IntegerMatmul<Layout, detail::code_scales::of_tokens, StoreScaled, Digits::kCount>;
  template <class Layout>
  using digit_table_matmul = IntegerMatmul<Layout, detail::code_scales::of_tokens, StoreScaled,
                                           Digits::kCount, TableColumns<Layout>>;
  /// For one token of them.
  template <class Layout>
  using wide_matmul = std::conditional_t<Layout::is_learned && !Layout::is_shared, WideRows<Layout>,
                                         WideMatmul<Layout>>;
  template <class Code, bool kLeft>
  using requantize = Requantize<Code, kLeft>;
  template <class Code>
  using requantize_row = RequantizeRow<Code>;
  using store_sums = StoreSums;
  using xnor_matmul = XnorMatmul;
  template <class Transform>
  using prepare_signs = PrepareSigns<Transform>;
  template <class Layout>
  using float_matmul = FloatMatmul<Layout>;
  template <class Matmul, class Transform, class Rounding>
  using prepare = Prepare<Matmul, Transform, Rounding>;
  template <class Matmul>
  using prepare_codes = PrepareCodes<Matmul>;
  template <class Transform>
  using transform_row = TransformRow<Transform>;
  template <class Format>
  using quantize_row = QuantizeRow<Format>;
  using range_of = RangeOf;
  template <class Element, class Zero>
  using encode = Encode<Element, Zero>;
  using encode_sorted = EncodeSorted;
  template <class Element, class Zero>
  using decode = Decode<Element, Zero>;
  template <class Element>
  using decode_learned = DecodeLearned<Element>;
  template <class Element>
  using pack = Pack<Element>;
  using elementwise = Elementwise;
  template <class Keys, class Values>
  using attention = Attention<Keys, Values>;
  template <bool kRotates>
  using latent_attention = LatentAttention<kRotates>;
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA

namespace detail {
inline namespace QOMPOSE_ISA {

template <std::int64_t kTarget>
struct Target;
template <>
struct Target<HWY_TARGET> : qompose::HWY_NAMESPACE::Kernels {
  static const char* name() { return hwy::TargetName(HWY_TARGET); }
};

}  // namespace QOMPOSE_ISA
}  // namespace detail
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle

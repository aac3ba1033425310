// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The best target's kernels for the rows of one spec, found once per call.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose::detail {

/// What a fitting rule and its caller need to know of the zero slot.
template <class Zero>
inline constexpr offset_kind offset_of = is_zero_point<Zero> ? offset_kind::zero_point
                                         : is_minimum<Zero>  ? offset_kind::minimum
                                                             : offset_kind::none;
/// Minima that are unsigned codes times one scale all have its sign.
template <quant_spec Format>
  requires(is_unsigned_format<typename Format::element> &&
           std::is_same_v<typename Format::zero_type, no_zero>)
inline constexpr offset_kind offset_of<minimum<Format>> = offset_kind::negative_minimum;

/// The @ref qompose::group_format of a spec's groups.
template <quant_spec Spec>
using group_of = group_format<typename Spec::element, offset_of<typename Spec::zero_type>,
                              typename spec_parts<typename Spec::scale_type::format>::element>;

/// Kernels that work on one row of groups; see kernels/quantize-inl.hpp and kernels/decode-inl.hpp.
template <class Element, class Zero>
struct codec {
  using code_type = typename Element::storage_type;
  void (*ranges)(const float* x, std::size_t n, std::size_t group, bool symmetric,
                 value_range* ranges);
  void (*encode)(const float* x, std::size_t n, std::size_t group, const float* scales,
                 const float* offsets, const value_range* known_ranges, code_type* codes);
  void (*decode)(const code_type* codes, std::size_t n, std::size_t group, const float* scales,
                 const float* offsets, float* out);
  void (*pack)(const code_type* codes, std::size_t n, std::uint8_t* bytes);
  void (*unpack)(const std::uint8_t* bytes, std::size_t n, code_type* codes);
};

/// The same for codebooks, one group at a time.
template <class Element>
struct learned_codec {
  void (*ranges)(const float* x, std::size_t n, std::size_t group, bool symmetric,
                 value_range* ranges);
  void (*encode)(const float* x, std::size_t n, float scale, const float* entries,
                 std::size_t count, std::uint8_t* codes);
  void (*decode)(const std::uint8_t* codes, std::size_t n, float scale, const float* entries,
                 float* out);
  void (*pack)(const std::uint8_t* codes, std::size_t n, std::uint8_t* bytes);
  void (*unpack)(const std::uint8_t* bytes, std::size_t n, std::uint8_t* codes);
};

inline namespace QOMPOSE_ISA {

template <class Element, class Zero = no_zero>
[[nodiscard]] auto best_codec() {
  return with_best_target<isa_tag>([]<class Target>() {
    if constexpr (learned_format<Element>) {
      return learned_codec<Element>{&Target::range_of::Groups, &Target::encode_sorted::Run,
                                    &Target::template decode_learned<Element>::Run,
                                    &Target::template pack<Element>::Store,
                                    &Target::template pack<Element>::Load};
    } else {
      return codec<Element, Zero>{
          &Target::range_of::Groups, &Target::template encode<Element, Zero>::Groups,
          &Target::template decode<Element, Zero>::Groups, &Target::template pack<Element>::Store,
          &Target::template pack<Element>::Load};
    }
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail

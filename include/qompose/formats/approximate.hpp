// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A format read as small integers, for speed at the price of a stated error.

#include <cstddef>
#include <string_view>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/formats/nf4.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// `Format` with its values rounded to integers of 8 bits times a power of two, so that products
/// run on integer dot products. Codes are those of `Format`, and so are files, which can be read as
/// either; what differs is the value that a code stands for, by at most `error`.
///
/// `quant<approximate<nf4>, per_group<64>>` with int8 activations multiplies many tokens about
/// three times as fast as `quant<nf4, per_group<64>>`, whose values need products of floats.
///
/// @tparam Format  a format of at most 6 bits without NaN and infinities, its largest magnitude in
///                 (1/4, 128], of which some values are no such integers, such as `nf4` and
///                 `fp6_e3m2`
template <number_format Format>
struct approximate {
  using storage_type = typename Format::storage_type;

  /// That of `Format`: what is stored reads the same.
  static constexpr std::string_view name = Format::name;
  static constexpr int bits = Format::bits;

 private:
  static_assert(bits <= 6,
                "qompose: approximate: codes of 7 and 8 bits gain nothing; use int8 instead");
  static constexpr std::size_t spelled = std::size_t{1} << bits;
  /// All codes, for indices below `spelled`; signed ones from the smallest on.
  QOMPOSE_INLINE static constexpr storage_type code_at(std::size_t index) noexcept {
    constexpr int lowest = std::is_signed_v<storage_type> ? -(1 << (bits - 1)) : 0;
    return static_cast<storage_type>(static_cast<int>(index) + lowest);
  }
  QOMPOSE_INLINE static constexpr float magnitude(float value) noexcept {
    return value < 0.0f ? -value : value;
  }
  static constexpr float largest = [] {
    float found = 0.0f;
    for (std::size_t i = 0; i < spelled; ++i) {
      const float value = magnitude(Format::decode(code_at(i)));
      // Written so that NaN fails as well.
      if (!(value <= 128.0f)) return value;
      found = value > found ? value : found;
    }
    return found;
  }();
  static_assert(largest > 0.25f && largest <= 128.0f,
                "qompose: approximate: the largest magnitude of the format is not in (1/4, 128]; "
                "give it other units, as scales make up for them");

 public:
  /// Values are multiples of this: the smallest power of two of which 128 reach the largest
  /// magnitude.
  static constexpr float step = [] {
    float power = 1.0f;
    while (64.0f * power >= largest) power *= 0.5f;
    return power;
  }();

 private:
  QOMPOSE_INLINE static constexpr float round(float value) noexcept {
    return static_cast<float>(round_to_code(value / step, -128.0f, 127.0f)) * step;
  }

 public:
  static constexpr float max_finite = round(largest);
  /// The largest difference to a value of `Format` (dimensionless): half a step, or a whole one
  /// where the largest value is 128 steps, of which 127 are kept.
  static constexpr float error = [] {
    float found = 0.0f;
    for (std::size_t i = 0; i < spelled; ++i) {
      const float value = Format::decode(code_at(i));
      const float off = magnitude(round(value) - value);
      found = off > found ? off : found;
    }
    return found;
  }();
  static_assert(error > 0.0f,
                "qompose: approximate: the format stands for small integers as it is; leave "
                "approximate out");

  /// As `Format`: the code of its nearest value.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return Format::encode(value);
  }
  /// The value of the same code of `Format`, rounded to the nearest multiple of `step`, ties to
  /// even, at most 127 steps (dimensionless).
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return round(Format::decode(code));
  }
};

static_assert(number_format<approximate<nf4>>);
static_assert(approximate<nf4>::error == 1.0f / 128 &&
              approximate<nf4>::max_finite == 127.0f / 128);

}  // namespace qompose

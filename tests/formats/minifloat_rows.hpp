// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Every small float as one table, and what OCP's text says of its codes, slowly.
///
/// A row holds functions and numbers rather than a type, so that one test visits all of them and
/// is compiled once.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "formats/nearest.hpp"
#include "qompose/formats/minifloat.hpp"

namespace qompose_tests {

namespace qp = qompose;

/// One instance of `minifloat` and its template arguments.
struct minifloat_row {
  std::string_view name;
  int bits;
  int exponent_bits;
  int mantissa_bits;
  qp::special_values specials;
  qp::overflow overflow;
  qp::infinite_input infinity;
  unsigned (*encode)(float);
  float (*decode)(unsigned);
  float (*nearest)(float);
  float max_finite;
  float min_normal;
  float min_subnormal;

  [[nodiscard]] unsigned sign_bit() const { return 1u << (bits - 1); }
  /// The value of a code below the sign bit, as if every code were a number.
  [[nodiscard]] double value_of(unsigned code) const {
    const int exponent = static_cast<int>(code >> mantissa_bits);
    const unsigned mantissa = code & ((1u << mantissa_bits) - 1u);
    const unsigned hidden = exponent == 0 ? 0u : 1u << mantissa_bits;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    return std::ldexp(static_cast<double>(mantissa + hidden),
                      std::max(exponent, 1) - bias - mantissa_bits);
  }
  /// The first code below the sign bit that is not a finite number.
  [[nodiscard]] unsigned first_special() const {
    const unsigned all = sign_bit() - 1u;
    if (specials == qp::special_values::nan) return all;
    if (specials == qp::special_values::none) return all + 1u;
    return all - ((1u << mantissa_bits) - 1u);
  }
  [[nodiscard]] bool is_infinity(unsigned code) const {
    return specials == qp::special_values::infinity_and_nan &&
           (code & ~sign_bit()) == first_special();
  }
  [[nodiscard]] bool is_nan(unsigned code) const {
    return (code & ~sign_bit()) >= first_special() && !is_infinity(code);
  }
  /// Codes of the finite numbers that are not negative, by value.
  [[nodiscard]] std::vector<coded_value> finite_codes() const {
    std::vector<coded_value> sorted;
    for (unsigned code = 0; code < first_special(); ++code) {
      sorted.push_back({value_of(code), code});
    }
    return sorted;
  }
  /// The same and the number that would come next: beyond the middle before it lies overflow.
  [[nodiscard]] std::vector<coded_value> rounding_codes() const {
    std::vector<coded_value> sorted = finite_codes();
    sorted.push_back({value_of(first_special()), first_special()});
    return sorted;
  }
  [[nodiscard]] std::string description() const {
    return std::string(name) + (overflow == qp::overflow::saturate ? ", saturates" : "") +
           (infinity == qp::infinite_input::largest_finite ? "" : ", keeps infinity");
  }
};

template <class Format>
struct described;

template <int E, int M, qp::special_values S, qp::overflow O, qp::infinite_input I>
struct described<qp::minifloat<E, M, S, O, I>> {
  using format = qp::minifloat<E, M, S, O, I>;
  static_assert(qp::number_format<format> && std::is_empty_v<format>);

  static unsigned encode(float value) { return format::encode(value); }
  static float decode(unsigned code) { return format::decode(static_cast<std::uint8_t>(code)); }
  static float nearest(float value) { return format::nearest(value); }
  static minifloat_row row() {
    return {format::name,
            format::bits,
            E,
            M,
            S,
            O,
            I,
            &encode,
            &decode,
            &nearest,
            format::max_finite,
            format::min_normal,
            format::min_subnormal};
  }
};

template <int E, int M>
void add_minifloats(std::vector<minifloat_row>& rows) {
  using qp::infinite_input;
  using qp::overflow;
  using qp::special_values;
  rows.push_back(described<qp::minifloat<E, M>>::row());
  const auto add = [&]<special_values S>() {
    rows.push_back(described<qp::minifloat<E, M, S>>::row());
    rows.push_back(
        described<qp::minifloat<E, M, S, overflow::saturate, infinite_input::nan_or_inf>>::row());
    rows.push_back(described<qp::minifloat<E, M, S, overflow::nan_or_inf>>::row());
  };
  add.template operator()<special_values::nan>();
  add.template operator()<special_values::infinity_and_nan>();
}

/// All that there are: every split of at most 7 bits, every choice of special values and overflow.
inline const std::vector<minifloat_row>& all_minifloats() {
  static const std::vector<minifloat_row> all = [] {
    std::vector<minifloat_row> rows;
    add_minifloats<2, 1>(rows);
    add_minifloats<2, 2>(rows);
    add_minifloats<2, 3>(rows);
    add_minifloats<2, 4>(rows);
    add_minifloats<2, 5>(rows);
    add_minifloats<3, 1>(rows);
    add_minifloats<3, 2>(rows);
    add_minifloats<3, 3>(rows);
    add_minifloats<3, 4>(rows);
    add_minifloats<4, 1>(rows);
    add_minifloats<4, 2>(rows);
    add_minifloats<4, 3>(rows);
    add_minifloats<5, 1>(rows);
    add_minifloats<5, 2>(rows);
    add_minifloats<6, 1>(rows);
    return rows;
  }();
  return all;
}

/// What OCP's text and the arguments of the type ask of `encode`.
/// @param finite    row.finite_codes()
/// @param rounding  row.rounding_codes()
inline unsigned slow_encode(const minifloat_row& row, const std::vector<coded_value>& finite,
                            const std::vector<coded_value>& rounding, float value) {
  const unsigned sign = std::signbit(value) ? row.sign_bit() : 0u;
  const auto magnitude = static_cast<double>(std::abs(value));
  const unsigned largest = row.first_special() - 1u;
  const bool has_infinity = row.specials == qp::special_values::infinity_and_nan;
  const unsigned quiet =
      has_infinity ? row.first_special() + (1u << (row.mantissa_bits - 1)) : row.first_special();
  if (std::isnan(value)) {
    return sign | (row.specials == qp::special_values::none ? largest : quiet);
  }
  const unsigned beyond = has_infinity ? row.first_special() : quiet;
  if (row.overflow == qp::overflow::nan_or_inf) {
    const unsigned code = nearest(rounding, magnitude);
    return sign | (code > largest ? beyond : code);
  }
  if (std::isinf(value) && row.infinity == qp::infinite_input::nan_or_inf) return sign | beyond;
  return sign | nearest(finite, magnitude);
}

}  // namespace qompose_tests

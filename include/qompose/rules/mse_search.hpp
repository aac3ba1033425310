// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales of least squared error, by search and regression.

#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/rules/mx_scale.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// The value of the code nearest to a scaled value.
template <number_format Element>
[[nodiscard]] QOMPOSE_INLINE constexpr float nearest_value(float scaled) noexcept {
  if constexpr (integer_format<Element>) {
    constexpr auto lowest = static_cast<float>(Element::min_code);
    const float above = scaled < lowest ? lowest : scaled;
    const float clamped = above > Element::max_finite ? Element::max_finite : above;
    return (clamped + 0x1.8p23f) - 0x1.8p23f;
  } else if constexpr (requires { Element::nearest(scaled); }) {
    return Element::nearest(scaled);
  } else {
    return Element::decode(Element::encode(scaled));
  }
}

/// Values are taken this many at a time, each with sums of its own, so that compilers vectorize
/// the loops without reordering a sum.
inline constexpr std::size_t fit_lanes = 16;

/// Sum of `term(value, nearest code)` over all values, for several terms at once.
template <number_format Element, std::size_t Terms, class Term>
QOMPOSE_INLINE void sum_over_codes(const float* values, std::size_t n, fitted_scale fitted,
                                   float (&sums)[Terms], Term&& term) noexcept {
  const float inverse = 1.0f / fitted.scale;
  float lanes[Terms][fit_lanes] = {};
  std::size_t i = 0;
  for (; i + fit_lanes <= n; i += fit_lanes) {
    for (std::size_t j = 0; j < fit_lanes; ++j) {
      const float value = values[i + j];
      const float code = nearest_value<Element>((value - fitted.minimum) * inverse);
      for (std::size_t k = 0; k < Terms; ++k) lanes[k][j] += term(k, value, code);
    }
  }
  for (std::size_t j = 0; i < n; ++i, ++j) {
    const float code = nearest_value<Element>((values[i] - fitted.minimum) * inverse);
    for (std::size_t k = 0; k < Terms; ++k) lanes[k][j] += term(k, values[i], code);
  }
  for (std::size_t k = 0; k < Terms; ++k) {
    sums[k] = 0.0f;
    for (const float lane : lanes[k]) sums[k] += lane;
  }
}

/// Sum of squared differences between values and what their nearest codes stand for.
template <class Group>
[[nodiscard]] QOMPOSE_INLINE float squared_error(const float* values, std::size_t n,
                                                 fitted_scale fitted) noexcept {
  float sums[1];
  sum_over_codes<typename Group::element>(
      values, n, fitted, sums, [&](std::size_t, float value, float code) QOMPOSE_FLATTEN {
        const float d = value - (fitted.scale * code + fitted.minimum);
        return d * d;
      });
  return sums[0];
}

/// Scale and minimum of least squared error for the codes that `fitted` gives; scale 0 where the
/// codes leave them open. Zero points are integers and powers of two are few: those stay.
template <class Group>
[[nodiscard]] QOMPOSE_INLINE fitted_scale regress(const float* values, std::size_t n,
                                                  fitted_scale fitted) noexcept {
  if (!(fitted.scale != 0.0f)) return {};
  if constexpr (Group::offset == offset_kind::zero_point || Group::has_power_of_two_scale) {
    return fitted;
  } else {
    // 0: sum of code^2, 1: of value code, 2: of code, 3: of value
    constexpr std::size_t terms = Group::offset == offset_kind::none ? 2 : 4;
    float sums[terms];
    sum_over_codes<typename Group::element>(
        values, n, fitted, sums, [](std::size_t k, float value, float code) QOMPOSE_FLATTEN {
          return k == 0 ? code * code : k == 1 ? value * code : k == 2 ? code : value;
        });
    if constexpr (Group::offset == offset_kind::none) {
      return {sums[0] > 0.0f ? sums[1] / sums[0] : 0.0f};
    } else {
      const auto count = static_cast<float>(n);
      const float variance = sums[0] - sums[2] * sums[2] / count;
      if (!(variance > 0.0f)) return {};
      const float scale = (sums[1] - sums[2] * sums[3] / count) / variance;
      const float minimum = (sums[3] - scale * sums[2]) / count;
      if (Group::offset == offset_kind::negative_minimum && minimum > 0.0f) {
        return {sums[1] / sums[0]};
      }
      return {scale, minimum};
    }
  }
}

/// The best fit of one group so far.
template <class Group>
class best_fit {
 public:
  QOMPOSE_INLINE best_fit(const float* values, std::size_t n, fitted_scale first) noexcept
      : values_(values), n_(n), fitted_(first) {
    if (first.scale != 0.0f) least_ = squared_error<Group>(values, n, first);
  }
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fitted() const noexcept { return fitted_; }

  /// Keeps a fit where it errs less; says whether it does.
  QOMPOSE_INLINE bool try_exactly(fitted_scale candidate) noexcept {
    if (!(candidate.scale != 0.0f)) return false;
    const float error = squared_error<Group>(values_, n_, candidate);
    if (!(error < least_)) return false;
    least_ = error;
    fitted_ = candidate;
    return true;
  }
  /// The same with the best scale and minimum for the candidate's codes.
  QOMPOSE_INLINE bool try_near(fitted_scale candidate) noexcept {
    return try_exactly(regress<Group>(values_, n_, candidate));
  }
  /// Takes turns between the codes of a fit and the fit of codes.
  QOMPOSE_INLINE void alternate(int most_turns) noexcept {
    for (int turn = 0; turn < most_turns && try_near(fitted_); ++turn) {
    }
  }

 private:
  const float* values_;
  std::size_t n_;
  fitted_scale fitted_;
  float least_ = 0.0f;
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// Tries about `grid` ways to clip a group; for the codes that each gives, finds the scale (and
/// minimum) of least squared error; from the best, alternates between codes and scale until neither
/// changes. Never worse than `absmax`.
///
/// Symmetric codes are clipped by a ratio, and ranges with an offset at each end on its own. Codes
/// of two's complement reach one step further below zero than above, so both signs of the scale are
/// tried where scales may be negative. The codes of floats lie closer near zero, so for those
/// stretching is tried as well as clipping. Scales that are powers of two are few: the three about
/// that of `mx_floor` are tried instead.
///
/// @par Cost  twice `grid` passes over the values, twice that with signed scales
/// @par Source
/// The shrink search of Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323, with squared error;
/// the scale of given codes is linear regression, and taking turns is Lloyd's method.
struct mse_search {
  int grid = 100;             ///< number of ways to clip, >= 1
  float lowest_ratio = 0.2f;  ///< what is left of the range at least, in (0, 1]
  int turns = 8;              ///< between codes and scale at the end, at most

  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    const value_range range = detail::range_of(values, n);
    detail::best_fit<Group> best(values, n, start<Group>(range));
    if (!(best.fitted().scale != 0.0f)) return best.fitted();
    if constexpr (Group::has_power_of_two_scale) {
      const int middle = detail::floor_log2(best.fitted().scale);
      const float minimum = best.fitted().minimum;
      for (const int step : {1, -1})
        best.try_exactly({detail::power_of_two(middle + step), minimum});
    } else {
      if constexpr (Group::offset == offset_kind::none) {
        clip_both_ends(best, range);
      } else {
        clip_each_end(best, range);
      }
      best.alternate(turns);
    }
    return best.fitted();
  }

 private:
  template <class Group>
  QOMPOSE_INLINE static fitted_scale start(value_range range) noexcept {
    if constexpr (Group::has_power_of_two_scale) {
      return mx_floor{}.fit_range<Group>(range);
    } else {
      return detail::spread<Group>(range);
    }
  }

  template <class Group>
  QOMPOSE_INLINE void clip_both_ends(detail::best_fit<Group>& best, value_range range) const {
    using element = typename Group::element;
    constexpr float highest_ratio = integer_format<element> ? 1.0f : 1.6f;
    for (int i = 0; i < grid; ++i) {
      const float ratio = highest_ratio - (highest_ratio - lowest_ratio) * static_cast<float>(i) /
                                              static_cast<float>(grid);
      best.try_near(detail::spread<Group>({range.lowest * ratio, range.highest * ratio}));
      if constexpr (Group::has_signed_scale && integer_format<element> &&
                    !is_unsigned_format<element>) {
        const float extreme = -range.lowest > range.highest ? range.lowest : range.highest;
        best.try_near({extreme * ratio / static_cast<float>(element::min_code)});
      }
    }
  }

  template <class Group>
  QOMPOSE_INLINE void clip_each_end(detail::best_fit<Group>& best, value_range range) const {
    int steps = 1;
    while ((steps + 1) * (steps + 1) <= grid) ++steps;
    const value_range full = detail::covered<Group::offset>(range);
    const float step =
        (full.highest - full.lowest) * (1.0f - lowest_ratio) / static_cast<float>(2 * steps);
    for (int below = 0; below < steps; ++below) {
      for (int above = 0; above < steps; ++above) {
        best.try_near(detail::spread<Group>({full.lowest + step * static_cast<float>(below),
                                             full.highest - step * static_cast<float>(above)}));
      }
    }
  }
};

static_assert(fitting_rule<mse_search>);

}  // namespace qompose

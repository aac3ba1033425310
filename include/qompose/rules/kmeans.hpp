// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Codebooks of least squared error.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Sorted values with sums from the left, so that the error of any run costs nothing to ask.
class sorted_runs {
 public:
  sorted_runs(const float* values, std::size_t n) : values_(values, values + n) {
    std::sort(values_.begin(), values_.end());
    sums_.resize(n + 1);
    squares_.resize(n + 1);
    for (std::size_t i = 0; i < n; ++i) {
      const auto value = static_cast<double>(values_[i]);
      sums_[i + 1] = sums_[i] + value;
      squares_[i + 1] = squares_[i] + value * value;
    }
  }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] const std::vector<float>& values() const { return values_; }
  [[nodiscard]] double mean(std::size_t first, std::size_t last) const {
    return (sums_[last] - sums_[first]) / static_cast<double>(last - first);
  }
  /// Squared error of values [first, last) about their mean.
  [[nodiscard]] double error(std::size_t first, std::size_t last) const {
    const double sum = sums_[last] - sums_[first];
    return squares_[last] - squares_[first] - sum * sum / static_cast<double>(last - first);
  }

 private:
  std::vector<float> values_;
  std::vector<double> sums_;
  std::vector<double> squares_;
};

/// Where the runs of the best split into `runs` begin, and the end: exact dynamic programming in
/// O(runs n log n), as the best first element of the last run never moves left when values are
/// added.
class best_split {
 public:
  [[nodiscard]] static std::vector<std::size_t> find(const sorted_runs& sorted, std::size_t runs) {
    best_split split(sorted, runs);
    std::vector<std::size_t> bounds(runs + 1);
    bounds[runs] = sorted.size();
    for (std::size_t k = runs; k > 0; --k) bounds[k - 1] = split.start_[k - 1][bounds[k]];
    return bounds;
  }

 private:
  best_split(const sorted_runs& sorted, std::size_t runs)
      : sorted_(sorted), previous_(sorted.size() + 1), current_(sorted.size() + 1) {
    const std::size_t n = sorted.size();
    start_.assign(runs, std::vector<std::size_t>(n + 1));
    for (std::size_t last = 1; last <= n; ++last) previous_[last] = sorted.error(0, last);
    for (std::size_t k = 1; k < runs; ++k) {
      fill(k, k + 1, n, k, n - 1);
      std::swap(previous_, current_);
    }
  }

  /// Best last runs for k + 1 runs that end at [first, last], which begin within [low, high].
  void fill(std::size_t k, std::size_t first, std::size_t last, std::size_t low, std::size_t high) {
    if (first > last) return;
    const std::size_t middle = (first + last) / 2;
    double least = std::numeric_limits<double>::infinity();
    std::size_t best = low;
    for (std::size_t start = low; start <= std::min(high, middle - 1); ++start) {
      const double error = previous_[start] + sorted_.error(start, middle);
      if (error < least) {
        least = error;
        best = start;
      }
    }
    current_[middle] = least;
    start_[k][middle] = best;
    fill(k, first, middle - 1, low, best);
    fill(k, middle + 1, last, best, high);
  }

  const sorted_runs& sorted_;
  std::vector<double> previous_;
  std::vector<double> current_;
  std::vector<std::vector<std::size_t>> start_;
};

/// Moves each bound to the midpoint of its neighbours' means until none moves.
inline void lloyd(const sorted_runs& sorted, std::vector<std::size_t>& bounds, int iterations) {
  const std::vector<float>& values = sorted.values();
  for (int i = 0; i < iterations; ++i) {
    std::vector<std::size_t> next = bounds;
    for (std::size_t k = 1; k + 1 < bounds.size(); ++k) {
      if (bounds[k - 1] == bounds[k] || bounds[k] == bounds[k + 1]) continue;
      const double midpoint =
          (sorted.mean(bounds[k - 1], bounds[k]) + sorted.mean(bounds[k], bounds[k + 1])) / 2.0;
      const auto at =
          std::upper_bound(values.begin(), values.end(), midpoint,
                           [](double m, float v) { return m < static_cast<double>(v); });
      next[k] = static_cast<std::size_t>(at - values.begin());
    }
    if (next == bounds) return;
    bounds = std::move(next);
  }
}

/// Means of the runs, ascending; an empty run repeats its neighbour.
inline void store_means(const sorted_runs& sorted, const std::vector<std::size_t>& bounds,
                        float* entries) {
  float last = sorted.values().front();
  for (std::size_t k = 0; k + 1 < bounds.size(); ++k) {
    if (bounds[k] < bounds[k + 1]) last = static_cast<float>(sorted.mean(bounds[k], bounds[k + 1]));
    entries[k] = last;
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// Entries of a codebook: the K means of least squared error, exact up to `exact_limit` values;
/// beyond, Lloyd's iterations from the exact solution of an even sample of the sorted values.
///
/// Where a codebook is shared by groups with scales, these are those of `absmax`.
///
/// @par Cost  sorting, and K n log n additions for n <= exact_limit
/// @par Source
/// Han et al., "Deep Compression", ICLR 2016, arXiv:1510.00149, section 3; Wu, "Optimal
/// Quantization by Matrix Searching", Journal of Algorithms 12, 1991 (the exact solution).
struct kmeans {
  std::size_t exact_limit = 16384;  ///< values
  int iterations = 300;             ///< of Lloyd's, at most

  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit_range(value_range range) const noexcept {
    return detail::spread<Group>(range);
  }
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return fit_range<Group>(detail::range_of(values, n));
  }

  /// @param values   n >= 1 finite values
  /// @param entries  count floats, overwritten, ascending
  void fit_codebook(const float* values, std::size_t n, float* entries, std::size_t count) const {
    const detail::sorted_runs sorted(values, n);
    if (n <= count) {
      for (std::size_t k = 0; k < count; ++k) entries[k] = sorted.values()[std::min(k, n - 1)];
      return;
    }
    if (n <= exact_limit) {
      detail::store_means(sorted, detail::best_split::find(sorted, count), entries);
      return;
    }
    const std::size_t sample_size = std::min<std::size_t>(exact_limit, 4096);
    std::vector<float> sample(sample_size);
    for (std::size_t i = 0; i < sample_size; ++i) {
      sample[i] = sorted.values()[(2 * i + 1) * n / (2 * sample_size)];
    }
    const detail::sorted_runs few(sample.data(), sample_size);
    std::vector<std::size_t> bounds = detail::best_split::find(few, count);
    for (std::size_t& bound : bounds) bound = bound * n / sample_size;
    detail::lloyd(sorted, bounds, iterations);
    detail::store_means(sorted, bounds, entries);
  }
};

static_assert(fitting_rule<kmeans>);

}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Floats to codes.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/fit_group.hpp"
#include "qompose/quantize/progressive.hpp"
#include "qompose/quantize/quantize_row.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/progressive.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/rules/default_rule.hpp"
#include "qompose/rules/rule.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {
namespace detail {

/// How `quantize_into` ended.
struct quantize_result {
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  bool is_finite = true;          ///< no NaN and no infinity among the values
  std::size_t overflowed = none;  ///< first group (rows of groups one after another) whose scale
                                  ///< or minimum its format cannot hold
};

inline namespace QOMPOSE_ISA {

template <tensor_spec Spec, class Rule, executor Executor>
quantize_result quantize_into(quantized_matrix<Spec>& q, matrix_view<const float> values,
                              const Rule& rule, const Executor& run);

/// Quantizes one matrix as a spec with scales or codebooks.
template <quant_spec Spec, class Rule, executor Executor>
class quantizer {
  using element = typename Spec::element;
  using zero_type = typename Spec::zero_type;
  using parts = spec_parts<Spec>;
  using code_type = typename element::storage_type;

 public:
  quantizer(quantized_matrix<Spec>& q, matrix_view<const float> values, const Rule& rule,
            const Executor& run)
      : q_(q), values_(values), rule_(rule), run_(run), grid_(q.grid()) {}

  quantize_result quantize() {
    if constexpr (has_independent_scales<Spec> && !parts::has_codebook) {
      if (q_.group_rows() == 1) return row_by_row();
    }
    return step_by_step();
  }

 private:
  /// Rows that a piece of work takes, so that it is worth starting a thread for.
  [[nodiscard]] std::size_t piece_rows() const {
    return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(1, values_.cols()));
  }
  /// use(first row, last row) over all rows.
  template <class Use>
  void for_each_piece(Use&& use) const {
    const std::size_t step = piece_rows();
    run_.for_each(divide_up(values_.rows(), step),
                  [&](std::size_t i) { use(i * step, std::min((i + 1) * step, values_.rows())); });
  }

  /// Fits, stores and encodes each row while it is in cache.
  quantize_result row_by_row() {
    for_each_piece([&](std::size_t first, std::size_t last) {
      row_quantizer<Spec, Rule> rows(rule_);
      for (std::size_t r = first; r < last; ++r) {
        const row_status status = rows.store(q_, r, values_.row(r));
        if (status.fault == group_fault::not_finite) finite_.store(false);
        if (status.fault == group_fault::overflow) report_overflow(r * grid_.cols + status.group);
      }
    });
    return result();
  }

  /// Fits all groups, stores their scales together, then encodes.
  quantize_result step_by_step() {
    aligned_buffer<group_fit> fits(parts::has_scale ? grid_.rows * grid_.cols : 0);
    if constexpr (parts::has_scale) {
      fit_all(fits);
      if (!finite_.load()) return result();
      store_all(fits);
    } else {
      check_finite();
      if (!finite_.load()) return result();
    }
    if constexpr (parts::has_codebook) fit_codebooks();
    for_each_piece([&](std::size_t first, std::size_t last) {
      row_buffers buffers(grid_.cols, values_.cols());
      for (std::size_t r = first; r < last; ++r) {
        encode_row(r, parts::has_scale ? &fits[r / q_.group_rows() * grid_.cols] : nullptr,
                   buffers);
      }
    });
    return result();
  }

  struct row_buffers {
    row_buffers(std::size_t groups, std::size_t cols)
        : scales(groups), offsets(groups), codes(cols) {}
    aligned_buffer<float> scales;
    aligned_buffer<float> offsets;
    aligned_buffer<code_type> codes;
  };

  static constexpr bool fits_range = [] {
    if constexpr (parts::has_scale) {
      return detail::fits_range<Rule, group_of<Spec>>;
    } else {
      return false;
    }
  }();
  /// Signed codes without an offset treat both signs alike.
  static constexpr bool is_symmetric =
      std::is_same_v<zero_type, no_zero> && !is_unsigned_format<element>;

  /// Ranges of the groups of one row, and whether all are finite.
  bool ranges_of_row(std::size_t r, value_range* ranges) {
    codec_.ranges(values_.row(r), values_.cols(), q_.group_cols(), is_symmetric, ranges);
    bool finite = true;
    for (std::size_t g = 0; g < grid_.cols; ++g)
      finite = finite && ranges[g].highest == ranges[g].highest;
    if (!finite) finite_.store(false, std::memory_order_relaxed);
    return finite;
  }

  void check_finite() {
    for_each_piece([&](std::size_t first, std::size_t last) {
      aligned_buffer<value_range> ranges(grid_.cols);
      for (std::size_t r = first; r < last; ++r) ranges_of_row(r, ranges.data());
    });
  }

  /// Fits every group of the matrix.
  void fit_all(aligned_buffer<group_fit>& fits) {
    const std::size_t height = q_.group_rows();
    if constexpr (fits_range) {
      aligned_buffer<value_range> ranges(values_.rows() * grid_.cols);
      for_each_piece([&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) ranges_of_row(r, &ranges[r * grid_.cols]);
      });
      if (!finite_.load()) return;
      for (std::size_t i = 0; i < fits.size(); ++i) {
        const std::size_t first = i / grid_.cols * height;
        const std::size_t last = std::min(first + height, values_.rows());
        value_range whole = ranges[first * grid_.cols + i % grid_.cols];
        for (std::size_t r = first + 1; r < last; ++r) {
          const value_range& range = ranges[r * grid_.cols + i % grid_.cols];
          whole.lowest = std::min(whole.lowest, range.lowest);
          whole.highest = std::max(whole.highest, range.highest);
        }
        fits[i] = to_store<Spec, Rule>(rule_.template fit_range<group_of<Spec>>(whole));
      }
    } else {
      check_finite();
      if (!finite_.load()) return;
      run_.for_each(grid_.rows, [&](std::size_t gr) {
        aligned_buffer<float> gathered(height > 1 ? height * q_.group_cols() : 0);
        for (std::size_t g = 0; g < grid_.cols; ++g) {
          const auto [data, size] = gather(gr, g, gathered);
          fits[gr * grid_.cols + g] = fit_group<Spec>(rule_, data, size);
        }
      });
    }
  }

  struct gathered_group {
    const float* data;
    std::size_t size;
  };
  /// The values of group (gr, g) side by side; copied where the group spans rows.
  gathered_group gather(std::size_t gr, std::size_t g, aligned_buffer<float>& copy) const {
    const std::size_t first_row = gr * q_.group_rows();
    const std::size_t last_row = std::min(first_row + q_.group_rows(), values_.rows());
    const std::size_t first = g * q_.group_cols();
    const std::size_t width = std::min(q_.group_cols(), values_.cols() - first);
    if (last_row - first_row == 1) return {values_.row(first_row) + first, width};
    std::size_t size = 0;
    for (std::size_t r = first_row; r < last_row; ++r, size += width) {
      std::memcpy(copy.data() + size, values_.row(r) + first, width * sizeof(float));
    }
    return {copy.data(), size};
  }

  /// Stores scales and offsets, which may be quantized themselves: codes are then made for the
  /// scales that are stored.
  void store_all(const aligned_buffer<group_fit>& fits) {
    if constexpr (has_independent_scales<Spec>) {
      for (std::size_t i = 0; i < fits.size(); ++i) {
        if (!store_fit(q_, i / grid_.cols, i % grid_.cols, fits[i])) report_overflow(i);
      }
    } else {
      store_nested(q_.scales(), fits, [](const group_fit& fit) { return fit.scale; });
      keep_small_scales(fits);
      if constexpr (parts::has_zero) {
        store_nested(q_.zeros(), fits, [](const group_fit& fit) { return fit.offset; });
      }
    }
  }
  template <class Part, class Select>
  void store_nested(Part& part, const aligned_buffer<group_fit>& fits, Select&& select) {
    aligned_buffer<float> numbers(fits.size());
    for (std::size_t i = 0; i < fits.size(); ++i) numbers[i] = select(fits[i]);
    const quantize_result stored =
        quantize_into(part, matrix_view<const float>(numbers.data(), grid_.rows, grid_.cols),
                      default_rule{}, run_);
    if (!stored.is_finite || stored.overflowed != quantize_result::none) {
      // Groups of groups: the first group of the first that overflowed is near enough.
      report_overflow(stored.overflowed == quantize_result::none ? 0 : stored.overflowed);
    }
  }
  /// A group that is not empty keeps the smallest integer scale rather than none: never further
  /// off.
  void keep_small_scales(const aligned_buffer<group_fit>& fits) {
    using scale_spec = typename Spec::scale_type::format;
    if constexpr (quant_spec<scale_spec>) {
      using scale_element = typename scale_spec::element;
      if constexpr (integer_format<scale_element> && is_unsigned_format<scale_element> &&
                    std::is_same_v<typename scale_spec::zero_type, no_zero>) {
        for (std::size_t i = 0; i < fits.size(); ++i) {
          const std::size_t r = i / grid_.cols;
          const std::size_t g = i % grid_.cols;
          if (fits[i].scale != 0.0f && q_.scales().code(r, g) == 0) q_.scales().set_code(r, g, 1);
        }
      }
    }
  }

  void fit_codebooks() {
    static_assert(
        !parts::has_codebook ||
            requires(float* entries) { rule_.fit_codebook(entries, 1, entries, 1); },
        "qompose: quantize: a codebook needs a rule that learns its entries; use kmeans{} "
        "or leave the rule out");
    if constexpr (is_shared_codebook<element>) {
      aligned_buffer<float> normalized(values_.rows() * values_.cols());
      for (std::size_t r = 0; r < values_.rows(); ++r) {
        for (std::size_t c = 0; c < values_.cols(); ++c) {
          const float scale = q_.scale(r, c);
          normalized[r * values_.cols() + c] = scale != 0.0f ? values_(r, c) / scale : 0.0f;
        }
      }
      fit_codebook(0, normalized.data(), normalized.size());
    } else {
      run_.for_each(grid_.rows, [&](std::size_t gr) {
        aligned_buffer<float> gathered(q_.group_rows() > 1 ? q_.group_rows() * q_.group_cols() : 0);
        for (std::size_t g = 0; g < grid_.cols; ++g) {
          const auto [data, size] = gather(gr, g, gathered);
          fit_codebook(gr * grid_.cols + g, data, size);
        }
      });
    }
  }
  void fit_codebook(std::size_t index, const float* values, std::size_t n) {
    using entry = typename element::entry;
    constexpr auto count = static_cast<std::size_t>(element::entries);
    float entries[count];
    rule_.fit_codebook(values, n, entries, count);
    for (std::size_t k = 0; k < count; ++k) {
      if (!can_hold<entry>(entries[k])) report_overflow(index);
      q_.codebooks().set_code(index, k, entry::encode(entries[k]));
    }
  }

  void encode_row(std::size_t r, const group_fit* fits, row_buffers& buffers) {
    const float* row = values_.row(r);
    const std::size_t cols = values_.cols();
    const std::size_t step = q_.group_cols();
    for (std::size_t g = 0; g < grid_.cols; ++g) buffers.scales[g] = 1.0f;
    const std::size_t scale_row = r / q_.group_rows();
    if constexpr (parts::has_scale) decode_row_of(q_.scales(), scale_row, buffers.scales.data());
    if constexpr (parts::has_zero) decode_row_of(q_.zeros(), scale_row, buffers.offsets.data());
    code_type* codes = buffers.codes.data();
    if constexpr (parts::has_codebook) {
      constexpr auto count = static_cast<std::size_t>(element::entries);
      float entries[count];
      for (std::size_t g = 0; g < grid_.cols; ++g) {
        const std::size_t book = q_.codebook(r, g * step);
        for (std::size_t k = 0; k < count; ++k) entries[k] = q_.codebooks().value(book, k);
        codec_.encode(row + g * step, std::min(step, cols - g * step), buffers.scales[g], entries,
                      count, codes + g * step);
      }
    } else if constexpr (has_independent_scales<Spec> && !codes_follow_scales<Spec, Rule>) {
      for (std::size_t c = 0; c < cols; ++c) {
        codes[c] = encode_fitted<Spec>(rule_, row[c], fits[c / step].fitted);
      }
    } else {
      codec_.encode(row, cols, step, buffers.scales.data(), buffers.offsets.data(), nullptr, codes);
    }
    codec_.pack(codes, cols, q_.codes().at(r, 0));
  }

  void report_overflow(std::size_t group) {
    std::size_t known = overflowed_.load();
    while (group < known && !overflowed_.compare_exchange_weak(known, group)) {
    }
  }
  [[nodiscard]] quantize_result result() const { return {finite_.load(), overflowed_.load()}; }

  quantized_matrix<Spec>& q_;
  matrix_view<const float> values_;
  const Rule& rule_;
  const Executor& run_;
  scale_grid grid_;
  decltype(best_codec<element, zero_type>()) codec_ = best_codec<element, zero_type>();
  std::atomic<bool> finite_{true};
  std::atomic<std::size_t> overflowed_{quantize_result::none};
};

/// Fills `q`; its content is of no use where the result names a fault.
template <tensor_spec Spec, class Rule, executor Executor>
quantize_result quantize_into(quantized_matrix<Spec>& q, matrix_view<const float> values,
                              const Rule& rule, const Executor& run) {
  if (values.rows() == 0 || values.cols() == 0) return {};
  if constexpr (number_format<Spec>) {
    const auto kernels = best_codec<Spec>();
    std::atomic<bool> finite{true};
    run.for_each(values.rows(), [&](std::size_t r) {
      value_range range;
      kernels.ranges(values.row(r), values.cols(), values.cols(), true, &range);
      if (range.highest != range.highest) finite.store(false, std::memory_order_relaxed);
      aligned_buffer<typename Spec::storage_type> codes(values.cols());
      constexpr float unit = 1.0f;
      kernels.encode(values.row(r), values.cols(), values.cols(), &unit, nullptr, nullptr,
                     codes.data());
      kernels.pack(codes.data(), values.cols(), q.codes().at(r, 0));
    });
    return {finite.load()};
  } else if constexpr (is_progressive<typename Spec::scale_type::format>) {
    return {quantize_progressive(q, values, rule, run)};
  } else {
    return quantizer<Spec, Rule, Executor>(q, values, rule, run).quantize();
  }
}

/// The same with errors: rows count from `first_row` in the messages.
/// @throws qompose::value_error as `quantize` does
template <tensor_spec Spec, class Rule, executor Executor>
void quantize_or_throw(const char* what, quantized_matrix<Spec>& q, matrix_view<const float> values,
                       const Rule& rule, const Executor& run, std::size_t first_row = 0) {
  const quantize_result result = quantize_into(q, values, rule, run);
  if (!result.is_finite) require_finite(what, values, first_row);
  if (result.overflowed != quantize_result::none) {
    if constexpr (quant_spec<Spec>) {
      const std::size_t groups = std::max<std::size_t>(1, q.grid().cols);
      throw_scale_error(what, first_row + result.overflowed / groups * q.group_rows(),
                        result.overflowed % groups);
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Stores a matrix as `Spec`.
///
/// @tparam Spec    a `quant<...>` or a bare format
/// @param  values  [rows, cols], finite
/// @param  rule    finds each group's scale (see rules/): `absmax{}`, `mse_search{}`,
/// `percentile{}`,
///                 `signed_extreme{}`, `mx_floor{}` and its like; left out, the one that the
///                 format's own publication gives: `absmax` for most
/// @param  run     who runs the rows; the result does not depend on it
/// @return codes, scales and zero points; a group of zeros has scale 1 and codes of zero (scale 0
///         where scales are quantized themselves, the smallest scale of E8M0)
/// @throws qompose::value_error at the first NaN or infinity, and where a scale or minimum is past
///         the range of its own format
/// @par Cost  one or two passes over the values, `rule` passes more for the scales
template <tensor_spec Spec, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] quantized_matrix<Spec> quantize(matrix_view<const float> values,
                                              const Rule& rule = {}, const Executor& run = {}) {
  quantized_matrix<Spec> q(values.rows(), values.cols(), uninitialized{});
  detail::quantize_or_throw("quantize", q, values, rule, run);
  return q;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

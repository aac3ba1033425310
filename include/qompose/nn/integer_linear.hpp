// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The linear layer in integers alone: 8-bit codes in, int32 sums, 8-bit codes out.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/fixed_point_multiplier.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/integer_arguments.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/packing/packed_matrix.hpp"
#include "qompose/quantize/affine.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {
namespace detail {

/// The kernels of one product whose sums go to the output that `Output` is for.
template <class Output>
struct integer_kernels {
  void (*prepare)(const prepare_codes_arguments&, std::size_t tile, std::int8_t* rows);
  void (*run)(const integer_matmul_arguments<Output>&, std::size_t first_panel,
              std::size_t last_panel);
};

/// The activations of one call, cut into tiles.
struct code_tiles {
  std::size_t count = 0;
  std::size_t workers = 0;  ///< that make them
  activation_tiles tiles;
  std::int8_t* rows = nullptr;   ///< scratch, a tile's rows of codes for each worker
  std::size_t worker_bytes = 0;  ///< of these
  std::size_t bytes = 0;         ///< of everything
};

/// Weights of integer-only layers: symmetric int8 with one scale a row or a matrix.
template <class Spec>
inline constexpr bool is_integer_layer_weight = false;
template <class Spec>
  requires(quant_spec<Spec> && std::is_same_v<typename Spec::zero_type, no_zero>)
inline constexpr bool is_integer_layer_weight<Spec> =
    std::is_same_v<typename Spec::element::storage_type, std::int8_t> && Spec::element::bits > 4 &&
    integer_format<typename Spec::element> &&
    (std::is_same_v<typename Spec::granularity_type, per_channel> ||
     std::is_same_v<typename Spec::granularity_type, per_tensor>);

}  // namespace detail

/// q_y = clamp(Z_y + (sum_j q_w q_x + q_bias) * M) in integers alone, M = S_w S_x / S_y a
/// @ref qompose::fixed_point_multiplier for each row; made by `compress_integer`.
///
/// Sums are exact int32 for every code: the constructor refuses weights and biases that could
/// overflow. Results are the same bits on every target and for any number of threads.
///
/// @tparam Input    format of the activations, int8 or uint8
/// @tparam Output   format of the results, int8 or uint8
/// @tparam Weights  `quant<int8, per_channel>` or `quant<int8, per_tensor>`
/// @par Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, sections 2.2 to 2.4.
template <class Input = uint8, class Output = Input, class Weights = w8_channel>
class integer_linear {
  static_assert(detail::is_integer_layer_weight<Weights>,
                "qompose: integer_linear: the weights are not signed bytes with one scale a row or "
                "a matrix; use quant<int8, per_channel> or quant<int8, per_tensor>");
  using layout = panel_layout<Weights>;

 public:
  using weight_spec = Weights;
  using input_code = typename affine<Input>::code_type;
  using output_code = typename affine<Output>::code_type;

  QOMPOSE_INLINE integer_linear() noexcept = default;

  /// @param weights  [out_features, in_features]
  /// @param bias     [out_features] real numbers, or empty; each becomes the nearest multiple of
  ///                 S_w S_x, ties to even
  /// @param input    of the activations
  /// @param output   of the results
  /// @param bounds   of the results' codes: `output.all()`, `output.at_least(0)` for a ReLU
  /// @throws qompose::shape_error if the bias has another length than out_features or a row has no
  ///         elements
  /// @throws qompose::argument_error if a scale, a zero point or a bound is out of its range, or a
  ///         multiplier is 2^30 or more
  /// @throws qompose::value_error if a bias is not finite or a row's sums could leave int32
  QOMPOSE_INLINE integer_linear(const quantized_matrix<Weights>& weights,
                                std::span<const float> bias, affine<Input> input,
                                affine<Output> output, code_bounds bounds)
      : input_(input), output_(output), bounds_(bounds) {
    check(weights, bias);
    const std::size_t rows = weights.rows();
    const std::size_t padded_rows = round_up(rows, panel_rows);
    aligned_buffer<std::int32_t> folded(padded_rows);
    aligned_buffer<std::int32_t> mantissas(padded_rows);
    aligned_buffer<std::int32_t> shifts(padded_rows);
    for (std::size_t r = 0; r < rows; ++r) {
      const double sum_scale =
          static_cast<double>(weights.scale(r, 0)) * static_cast<double>(input.scale);
      folded[r] = folded_bias(weights, r, bias.empty() ? 0.0f : bias[r], sum_scale);
      const auto multiplier =
          fixed_point_multiplier::from_scale(sum_scale / static_cast<double>(output.scale));
      mantissas[r] = multiplier.mantissa;
      shifts[r] = multiplier.shift;
      has_left_shift_ = has_left_shift_ || multiplier.shift < 0;
    }
    weights_ = packed_matrix<Weights>(rows, weights.cols());
    weights_.store(0, weights);
    bias_ = std::move(folded);
    mantissas_ = std::move(mantissas);
    shifts_ = std::move(shifts);
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t in_features() const noexcept {
    return weights_.geometry().cols;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t out_features() const noexcept {
    return weights_.geometry().rows;
  }
  [[nodiscard]] QOMPOSE_INLINE const affine<Input>& input() const noexcept { return input_; }
  [[nodiscard]] QOMPOSE_INLINE const affine<Output>& output() const noexcept { return output_; }
  [[nodiscard]] QOMPOSE_INLINE code_bounds bounds() const noexcept { return bounds_; }
  /// Bytes of codes, scales, biases and multipliers, padding to whole panels included.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return weights_.storage_bytes() + 3 * bias_.size() * sizeof(std::int32_t);
  }
  /// The weights with tight codes.
  [[nodiscard]] QOMPOSE_INLINE quantized_matrix<Weights> quantized() const {
    return weights_.quantized();
  }
  /// The integer bias of row r with the input's zero point folded in, in units of S_w S_x:
  /// rne(b / (S_w S_x)) - Z_x * sum_j q_w. One pass over the row; unchecked.
  [[nodiscard]] QOMPOSE_INLINE std::int32_t q_bias(std::size_t r) const noexcept {
    std::int64_t sum = 0;
    for (std::size_t c = 0; c < in_features(); ++c) sum += weights_.code(r, c);
    return static_cast<std::int32_t>(bias_[r] - code_offset * sum);
  }
  /// What the sums of row r are multiplied by, unchecked.
  [[nodiscard]] QOMPOSE_INLINE fixed_point_multiplier multiplier(std::size_t r) const noexcept {
    return {mantissas_[r], shifts_[r]};
  }

  /// Runs the layer on codes.
  ///
  /// @param x        [n_tokens, in_features], codes of `input()`
  /// @param y        [n_tokens, out_features], codes of `output()`, overwritten; must not overlap x
  /// @param run      who runs the pieces; the result does not depend on it
  /// @param scratch  reused between calls; a call no larger than an earlier one allocates nothing
  /// @throws qompose::shape_error if x or y disagree with the weights; nothing is written then
  template <executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<const input_code> x, matrix_view<output_code> y, const Executor& run,
                  workspace& scratch) const {
    check_shapes(x.rows(), x.cols(), y.rows(), y.cols());
    multiply<Isa>(x, requantize_to(y), run,
                  scratch.reserve(tiles_at<Isa>(nullptr, x.rows()).bytes));
  }
  /// The same with scratch memory of its own.
  template <executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<const input_code> x, matrix_view<output_code> y,
                  const Executor& run = {}) const {
    workspace scratch;
    this->template operator()<Executor, Isa>(x, y, run, scratch);
  }

  /// The int32 sums before requantization, bias included: value = S_w S_x * sum.
  /// @param sums  [n_tokens, out_features], overwritten
  /// @throws qompose::shape_error if x or sums disagree with the weights; nothing is written then
  template <executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<const input_code> x, matrix_view<std::int32_t> sums,
                  const Executor& run, workspace& scratch) const {
    check_shapes(x.rows(), x.cols(), sums.rows(), sums.cols());
    multiply<Isa>(
        x, detail::sum_arguments{bias_.data(), out_features(), sums.data(), sums.row_stride()}, run,
        scratch.reserve(tiles_at<Isa>(nullptr, x.rows()).bytes));
  }

  /// Floats in and out: quantizes x by `input()`, runs on codes, dequantizes by `output()`.
  /// @param x  [n_tokens, in_features]; saturates at the range of `input()`, NaN counts as 0
  /// @param y  [n_tokens, out_features], overwritten
  /// @throws qompose::shape_error if x or y disagree with the weights; nothing is written then
  template <executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<const float> x, matrix_view<float> y, const Executor& run,
                  workspace& scratch) const {
    check_shapes(x.rows(), x.cols(), y.rows(), y.cols());
    const std::size_t x_bytes = round_up(x.rows() * x.cols(), 64);
    const std::size_t y_bytes = round_up(y.rows() * y.cols(), 64);
    std::byte* memory = scratch.reserve(x_bytes + y_bytes + tiles_at<Isa>(nullptr, x.rows()).bytes);
    const matrix_view<input_code> x_codes(reinterpret_cast<input_code*>(memory), x.rows(),
                                          x.cols());
    const matrix_view<output_code> y_codes(reinterpret_cast<output_code*>(memory + x_bytes),
                                           y.rows(), y.cols());
    quantize<Input, Isa>(input_, x, x_codes);
    multiply<Isa>(matrix_view<const input_code>(x_codes), requantize_to(y_codes), run,
                  memory + x_bytes + y_bytes);
    dequantize(output_, y_codes, y);
  }

 private:
  /// Unsigned codes run as signed ones, 128 less; the folded bias takes it back.
  static constexpr std::int32_t code_offset = std::is_unsigned_v<input_code> ? 128 : 0;

  QOMPOSE_INLINE void check(const quantized_matrix<Weights>& weights,
                            std::span<const float> bias) const {
    if (weights.cols() == 0 && weights.rows() > 0) {
      throw_shape_error("integer_linear: weights", weights.rows(), 0, weights.rows(), 1);
    }
    if (!bias.empty() && bias.size() != weights.rows()) {
      throw shape_error("integer_linear: bias: " + std::to_string(bias.size()) +
                        " elements, expected " + std::to_string(weights.rows()));
    }
    detail::require_affine("integer_linear: input", input_);
    detail::require_affine("integer_linear: output", output_);
    const code_bounds all = output_.all();
    if (bounds_.lowest < all.lowest || bounds_.highest > all.highest ||
        bounds_.lowest > bounds_.highest) {
      throw argument_error("integer_linear: bounds: [" + std::to_string(bounds_.lowest) + ", " +
                           std::to_string(bounds_.highest) + "], expected codes within [" +
                           std::to_string(all.lowest) + ", " + std::to_string(all.highest) +
                           "] in this order");
    }
  }

  /// What is added to the sums of row r over signed codes.
  QOMPOSE_INLINE std::int32_t folded_bias(const quantized_matrix<Weights>& weights, std::size_t r,
                                          float bias, double sum_scale) const {
    const auto refuse = [&](const std::string& what) {
      throw value_error("integer_linear: row " + std::to_string(r) + ": " + what);
    };
    if (!(sum_scale > 0.0 && std::isfinite(sum_scale))) {
      refuse("the scale of the weights is " + std::to_string(weights.scale(r, 0)) +
             ", expected a positive finite number");
    }
    std::int64_t sum = 0;
    std::int64_t magnitude = 0;
    for (std::size_t c = 0; c < weights.cols(); ++c) {
      const std::int64_t code = weights.code(r, c);
      sum += code;
      magnitude += code < 0 ? -code : code;
    }
    const double steps = std::nearbyint(static_cast<double>(bias) / sum_scale);
    if (!(std::fabs(steps) < 0x1p31)) {
      refuse("the bias " + std::to_string(bias) + " is " + std::to_string(steps) +
             " steps of S_w S_x, expected less than 2^31");
    }
    const std::int64_t folded =
        static_cast<std::int64_t>(steps) - (input_.zero_point - code_offset) * sum;
    const std::int64_t largest = (folded < 0 ? -folded : folded) + 128 * magnitude;
    if (largest > std::numeric_limits<std::int32_t>::max()) {
      refuse("sums reach " + std::to_string(largest) +
             ", expected less than 2^31; split the row or use coarser weights");
    }
    return static_cast<std::int32_t>(folded);
  }

  QOMPOSE_INLINE void check_shapes(std::size_t x_rows, std::size_t x_cols, std::size_t y_rows,
                                   std::size_t y_cols) const {
    if (x_cols != in_features()) {
      throw_shape_error("integer_linear: x", x_rows, x_cols, x_rows, in_features());
    }
    if (y_rows != x_rows || y_cols != out_features()) {
      throw_shape_error("integer_linear: y", y_rows, y_cols, x_rows, out_features());
    }
  }

  [[nodiscard]] QOMPOSE_INLINE detail::requantize_arguments requantize_to(
      matrix_view<output_code> y) const noexcept {
    detail::requantize_arguments a;
    a.bias = bias_.data();
    a.mantissas = mantissas_.data();
    a.shifts = shifts_.data();
    a.has_left_shift = has_left_shift_;
    a.zero_point = output_.zero_point;
    a.lowest = bounds_.lowest;
    a.highest = bounds_.highest;
    a.rows = out_features();
    a.y = y.data();
    a.y_stride = y.row_stride();
    return a;
  }

  template <class Isa, class Arguments>
  [[nodiscard]] static detail::integer_kernels<Arguments> select(const Arguments& output) {
    return detail::with_best_target<Isa>([&]<class Target>() {
      using matmul = typename Target::template integer_matmul<layout>;
      using prepare = typename Target::template prepare_codes<matmul>;
      const auto kernels_to = []<class Store>(std::type_identity<Store>) {
        using product =
            typename Target::template integer_matmul<layout, detail::code_scales::of_tokens, Store>;
        return detail::integer_kernels<Arguments>{&prepare::Run, &product::Run};
      };
      if constexpr (std::is_same_v<Arguments, detail::sum_arguments>) {
        (void)output;
        return kernels_to(std::type_identity<typename Target::store_sums>());
      } else if (output.has_left_shift) {
        return kernels_to(
            std::type_identity<typename Target::template requantize<output_code, true>>());
      } else {
        return kernels_to(
            std::type_identity<typename Target::template requantize<output_code, false>>());
      }
    });
  }

  /// The tiles of n tokens in memory at `base`; null only measures.
  template <class Isa>
  [[nodiscard]] detail::code_tiles tiles_at(std::byte* base, std::size_t n_tokens) const {
    return detail::with_best_target<Isa>([&]<class Target>() {
      using matmul = typename Target::template integer_matmul<layout>;
      const std::size_t width = matmul::TileTokens(n_tokens);
      detail::arena memory(base);
      detail::code_tiles t;
      t.count = divide_up(n_tokens, width);
      t.workers = std::min<std::size_t>(t.count, 16);
      t.worker_bytes = width * detail::code_row_stride(in_features());
      t.tiles.values = memory.take<std::byte>(t.count * width * weights_.geometry().padded_cols /
                                              4 * matmul::kCodeBytes);
      t.tiles.corrections = memory.take<std::int32_t>(t.count * width);
      t.rows = memory.take<std::int8_t>(t.workers * t.worker_bytes);
      t.bytes = memory.used();
      return t;
    });
  }

  /// The product, its sums handed to the kernel that `output` belongs to.
  /// @param memory  as many bytes as `tiles_at` says
  template <class Isa, class Arguments, executor Executor>
  void multiply(matrix_view<const input_code> x, const Arguments& output, const Executor& run,
                std::byte* memory) const {
    if (x.rows() == 0 || out_features() == 0) return;
    const detail::integer_kernels<Arguments> kernels = select<Isa>(output);
    const detail::code_tiles tiles = tiles_at<Isa>(memory, x.rows());
    const panel_geometry& geometry = weights_.geometry();

    const detail::prepare_codes_arguments codes{
        reinterpret_cast<const std::uint8_t*>(x.data()), x.row_stride(), x.rows(),
        static_cast<std::uint8_t>(code_offset),          geometry,       tiles.tiles};
    const auto prepare_share = [&](std::size_t worker) {
      for (std::size_t t = worker; t < tiles.count; t += tiles.workers) {
        kernels.prepare(codes, t, tiles.rows + worker * tiles.worker_bytes);
      }
    };
    // A few rows are done before another thread could wake up.
    if (x.rows() * x.cols() < 65536) {
      serial{}.for_each(tiles.workers, prepare_share);
    } else {
      run.for_each(tiles.workers, prepare_share);
    }

    detail::integer_matmul_arguments<Arguments> arguments;
    arguments.weights = weights_.pointers();
    arguments.geometry = geometry;
    arguments.x = tiles.tiles;
    arguments.n_tokens = x.rows();
    arguments.output = output;
    // As in linear: pieces of some microseconds, of whole register tiles; cut by shape alone.
    constexpr std::size_t piece_products = 65536;
    const std::size_t together = x.rows() < 16 ? 4 : 8;
    const std::size_t piece =
        round_up(divide_up(piece_products, panel_rows * geometry.padded_cols * x.rows()), together);
    run.for_each(divide_up(geometry.panels, piece), [&](std::size_t i) {
      kernels.run(arguments, i * piece, std::min((i + 1) * piece, geometry.panels));
    });
  }

  packed_matrix<Weights> weights_;
  aligned_buffer<std::int32_t> bias_;
  aligned_buffer<std::int32_t> mantissas_;
  aligned_buffer<std::int32_t> shifts_;
  affine<Input> input_;
  affine<Output> output_;
  code_bounds bounds_;
  bool has_left_shift_ = false;
};

inline namespace QOMPOSE_ISA {

/// Real weights and biases to an integer-only layer.
///
/// A row whose weights are so small that its bias would not fit int32 in units of S_w S_x takes a
/// larger scale: S_w = |b| / (2^30 S_x). Its weights then lose bits that no output code shows.
///
/// @param weights  [out_features, in_features], finite
/// @param bias     [out_features], or empty for none
/// @param input    scale and zero point of the activations
/// @param output   scale and zero point of the results
/// @param bounds   of the results' codes: `output.all()`, `output.at_least(0)` for a ReLU
/// @param rule     finds the weights' scales
/// @param run      who runs the rows; the result does not depend on it
/// @throws qompose::value_error at a NaN or an infinity, naming its position
/// @throws qompose::error as the constructor of @ref qompose::integer_linear does
template <class Input = uint8, class Output = Input, class Weights = w8_channel,
          class Rule = default_rule, executor Executor = serial>
[[nodiscard]] integer_linear<Input, Output, Weights> compress_integer(
    matrix_view<const float> weights, std::span<const float> bias,
    std::type_identity_t<affine<Input>> input, std::type_identity_t<affine<Output>> output,
    code_bounds bounds, const Rule& rule = {}, const Executor& run = {}) {
  if (!bias.empty() && bias.size() != weights.rows()) {
    throw shape_error("compress_integer: bias: " + std::to_string(bias.size()) +
                      " elements, expected " + std::to_string(weights.rows()));
  }
  if (!bias.empty()) {
    detail::require_finite("compress_integer: bias", {bias.data(), 1, bias.size()});
  }
  detail::require_affine("compress_integer: input", input);
  auto q = quantize<Weights>(weights, rule, run);
  if (weights.cols() > 0) {
    for (std::size_t first = 0; first < bias.size(); first += q.group_rows()) {
      const std::size_t last = std::min(first + q.group_rows(), bias.size());
      float peak = 0.0f;
      for (std::size_t r = first; r < last; ++r) peak = std::max(peak, std::fabs(bias[r]));
      const float least = peak / (0x1p30f * input.scale);
      if (!(q.scale(first, 0) < least)) continue;
      using scale_format = typename detail::spec_parts<Weights>::scale_format;
      q.scales().set_code(first / q.group_rows(), 0, scale_format::encode(least));
      for (std::size_t r = first; r < last; ++r) {
        for (std::size_t c = 0; c < weights.cols(); ++c) {
          q.set_code(r, c, Weights::element::encode(weights(r, c) / q.scale(r, c)));
        }
      }
    }
  }
  return integer_linear<Input, Output, Weights>(q, bias, input, output, bounds);
}

/// The same with all codes of the output.
template <class Input = uint8, class Output = Input, class Weights = w8_channel>
[[nodiscard]] integer_linear<Input, Output, Weights> compress_integer(
    matrix_view<const float> weights, std::span<const float> bias,
    std::type_identity_t<affine<Input>> input, std::type_identity_t<affine<Output>> output) {
  return compress_integer<Input, Output, Weights>(weights, bias, input, output, output.all());
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

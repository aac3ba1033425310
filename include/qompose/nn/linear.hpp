// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The compressed linear layer: a recipe with data.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/integer_product.hpp"
#include "qompose/packing/packed_bits.hpp"
#include "qompose/packing/packed_matrix.hpp"
#include "qompose/packing/wide_image.hpp"
#include "qompose/quantize/fake_quantize.hpp"
#include "qompose/quantize/stored_scales.hpp"
#include "qompose/recipe/recipe.hpp"

namespace qompose {
namespace detail {

/// Weights and activations that the xnor kernels take: signs, one float scale a row and a token.
template <class Weights, class Activations>
inline constexpr bool is_xnor = false;
template <>
inline constexpr bool is_xnor<quant<binary, per_channel>, quant<binary, per_token>> = true;

/// What rounds rows of activations for products in float; void where they stay as they are.
template <class Spec, class When>
struct float_rounding {
  using type = round_to<Spec>;
};
template <>
struct float_rounding<fp32, dynamic> {
  using type = void;
};
template <class Spec>
struct float_rounding<Spec, calibrated> {
  using type = round_by_stored_scales<Spec>;
};

/// The kernels of one recipe on one target.
template <class Transform>
struct linear_kernels {
  std::size_t octet_bytes;  ///< of eight activations, or of eight digits of them
  std::size_t digits;       ///< rows of a tile that make one token
  std::size_t (*tile_rows)(std::size_t n_tokens);
  void (*prepare)(const prepare_arguments&, const typename Transform::data&, std::size_t tile,
                  float* scratch, std::int8_t* codes);
  void (*run)(const matmul_arguments&, std::size_t first_panel, std::size_t last_panel);
};

inline namespace QOMPOSE_ISA {

/// Hands out consecutive 64-byte aligned pieces of a workspace; the first pass only measures.
class arena {
 public:
  explicit arena(std::byte* base) : base_(base) {}
  template <class T>
  T* take(std::size_t count) {
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += round_up(count * sizeof(T), 64);
    return piece;
  }
  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// Y = X W^T + bias with W packed as the recipe says; made by `compress`.
///
/// @tparam Recipe  a `recipe<...>`, or a tensor spec for `recipe<weight<spec>>`. Weights that stand
///                 for small integers (see integer_image) with activations such as
///                 `quant<int8, per_token>` or `quant<int8, per_group<128>>` run on integer dot
///                 products, signs on both sides on xnor and popcount. Activations of every other
///                 spec are rounded as it says; such weights then take them as the integers that
///                 their codes stand for, such as `mxfp4` and `q8_0`, or as three digits of 8
///                 bits where that is faster. One token meets other weights of at most 6 bits in
///                 the same digits where the processor has fast lookups of bytes: these stand for
///                 wider integers (see wide_image). All else is decoded to float.
/// @par Identity
/// Activation codes and int32 sums are the same on every target and for every number of threads.
template <class Recipe>
class linear {
 public:
  using recipe_type = as_recipe<Recipe>;
  using weight_spec = typename recipe_type::weight_spec;
  using activation_spec = typename recipe_type::activation_spec;
  using activation_when = typename recipe_type::activation_when;
  using transform_type = typename recipe_type::transform_type;
  using transform_data = typename transform_type::data;
  using layout = panel_layout<weight_spec>;

  /// Whether the products run on single bits.
  static constexpr bool uses_bits = detail::is_xnor<weight_spec, activation_spec>;
  /// Whether they run on integers.
  static constexpr bool uses_integers =
      !uses_bits && detail::integer_product<weight_spec, activation_spec, activation_when>::exists;
  /// Whether float activations may be cut into digits of 8 bits, which run on integers as well.
  static constexpr bool uses_digits =
      !uses_integers && !uses_bits && layout::has_integers && layout::is_scaled;

  /// Whether codes may be looked up as wider integers, which meet these digits for one token.
  static constexpr bool uses_wide_digits = !uses_integers && !uses_bits && !layout::has_integers &&
                                           (wide_image<typename layout::element>::exists ||
                                            (layout::is_learned && layout::element::bits <= 6));

  /// The weights as the kernels read them.
  using packed_type = std::conditional_t<uses_bits, packed_bits, packed_matrix<weight_spec>>;
  /// What a recipe with `calibrated` activations stores of them; nothing for others.
  using activation_scales_type =
      std::conditional_t<is_calibrated<recipe_type>, aligned_buffer<float>,
                         detail::no_stored_scales>;

  QOMPOSE_INLINE linear() noexcept = default;
  /// Takes weights already folded and packed; `compress` is the usual way.
  /// @param weights  [out_features, in_features]
  /// @param bias     [out_features], or empty
  /// @throws qompose::shape_error if the recipe stores scales of activations
  QOMPOSE_INLINE linear(packed_type weights, aligned_buffer<float> bias)
      : weights_(std::move(weights)),
        bias_(std::move(bias)),
        transform_(detail::transform_data_for<transform_type>(in_features())) {
    check_activation_scales();
  }
  /// The same with the transform that was folded into the weights, and the scales of the
  /// activations where the recipe stores them.
  /// @throws qompose::shape_error if the transform is not for rows of in_features or there are more
  ///         or fewer scales than such rows have, qompose::value_error if a scale is not positive
  QOMPOSE_INLINE linear(packed_type weights, aligned_buffer<float> bias, transform_data transform,
                        activation_scales_type activation_scales = {})
      : weights_(std::move(weights)),
        bias_(std::move(bias)),
        transform_(std::move(transform)),
        activation_scales_(std::move(activation_scales)) {
    detail::require_transform_data<transform_type>(transform_, in_features());
    check_activation_scales();
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t in_features() const noexcept {
    return weights_.geometry().cols;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t out_features() const noexcept {
    return weights_.geometry().rows;
  }
  /// Bytes of codes, scales, bias and transform, padding to the kernels' step included.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return weights_.storage_bytes() + (bias_.size() + activation_scales_.size()) * sizeof(float) +
           detail::transform_bytes<transform_type>(transform_);
  }
  /// The stored weights as the kernels read them, transform still folded in.
  [[nodiscard]] QOMPOSE_INLINE const packed_type& weights() const noexcept { return weights_; }
  /// The stored weights with tight codes, transform still folded in.
  [[nodiscard]] QOMPOSE_INLINE quantized_matrix<weight_spec> quantized() const {
    return weights_.quantized();
  }
  /// [out_features], or empty.
  [[nodiscard]] QOMPOSE_INLINE std::span<const float> bias() const noexcept {
    return {bias_.data(), bias_.size()};
  }
  /// The stored scales of the activations, one in all or one for each group of in_features; empty
  /// where calls find their own.
  [[nodiscard]] QOMPOSE_INLINE std::span<const float> activation_scales() const noexcept {
    return {activation_scales_.data(), activation_scales_.size()};
  }
  /// What the transform stores; nothing for most.
  [[nodiscard]] QOMPOSE_INLINE const transform_data& transform() const noexcept {
    return transform_;
  }
  /// Row r of the effective weights in the original basis.
  /// @param r    output feature, unchecked
  /// @param out  in_features floats, overwritten
  QOMPOSE_INLINE void weight_row(std::size_t r, float* out) const noexcept {
    for (std::size_t c = 0; c < in_features(); ++c) out[c] = weights_.value(r, c);
    transform_type::unfold(transform_, out, in_features());
  }

  /// Runs the layer.
  ///
  /// @param x        activations, [n_tokens, in_features], finite; a row with a NaN or an infinity
  ///                 makes its own results NaN and no other
  /// @param y        result, [n_tokens, out_features], overwritten; must not overlap x
  /// @param run      who runs the pieces; the result does not depend on it
  /// @param scratch  reused between calls; a call no larger than an earlier one allocates nothing
  /// @throws qompose::shape_error if x or y disagree with the weights; nothing is written then
  /// @par Error  against exact sums, at most (groups + 2) 2^-23 sum |s_g acc_g| per element; where
  ///             activations are cut into digits, and where weights are decoded to float, with
  ///             sum |w x| instead, and for digits 2^-23 max |x| sum |w| more, max |x| counted as
  ///             2^-104 at least. Digits against wide integers: 2^-20 max |x| sum w_g more, w_g the
  ///             largest magnitude that the group of each column has an entry for (of which rounded
  ///             entries take 2^-23), and a rounding for each 32 columns
  /// @par Cost   out_features * in_features * bits / 8 bytes are read once per 64 tokens
  template <executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<const float> x, matrix_view<float> y, const Executor& run,
                  workspace& scratch) const {
    check_shapes(x, y);
    if (x.rows() == 0 || out_features() == 0) return;
    if (in_features() == 0) {
      // An empty sum leaves the bias; the kernels expect a group.
      for (std::size_t t = 0; t < x.rows(); ++t) {
        for (std::size_t r = 0; r < out_features(); ++r) {
          y(t, r) = bias_.size() > 0 ? bias_[r] : 0.0f;
        }
      }
      return;
    }

    const detail::linear_kernels<transform_type> kernels = select<Isa>(x.rows());
    const panel_geometry geometry = product_geometry();
    const std::size_t code_groups = divide_up(in_features(), code_group_cols());
    const std::size_t width = kernels.tile_rows(x.rows());
    const std::size_t tiles = divide_up(x.rows() * kernels.digits, width);
    const std::size_t workers = std::min<std::size_t>(tiles, 16);
    const std::size_t worker_codes = has_codes ? width * detail::code_row_stride(in_features()) : 0;

    detail::activation_tiles prepared;
    float* rows = nullptr;
    std::int8_t* codes = nullptr;
    const auto lay_out = [&](std::byte* base) {
      detail::arena memory(base);
      prepared.values =
          memory.take<std::byte>(tiles * width * geometry.padded_cols / 8 * kernels.octet_bytes);
      if constexpr (has_codes || uses_bits) {
        prepared.scales = memory.take<float>(tiles * width * code_groups);
      }
      if constexpr (has_codes) {
        prepared.corrections = memory.take<std::int32_t>(tiles * width * geometry.groups);
        if constexpr (layout::has_offset) {
          prepared.sums = memory.take<float>(tiles * width * geometry.groups);
        }
      }
      rows = memory.take<float>(workers * round_up(in_features(), 16));
      codes = memory.take<std::int8_t>(workers * worker_codes);
      return memory.used();
    };
    lay_out(scratch.reserve(lay_out(nullptr)));

    const detail::prepare_arguments prepare{
        x.data(),    x.row_stride(),    x.rows(), geometry,
        code_groups, code_group_cols(), prepared, activation_scales_.data()};
    const auto prepare_share = [&](std::size_t worker) {
      for (std::size_t t = worker; t < tiles; t += workers) {
        kernels.prepare(prepare, transform_, t, rows + worker * round_up(in_features(), 16),
                        codes + worker * worker_codes);
      }
    };
    // A few rows are done before another thread could wake up.
    if (x.rows() * x.cols() < 16384) {
      serial{}.for_each(workers, prepare_share);
    } else {
      run.for_each(workers, prepare_share);
    }

    const detail::matmul_arguments arguments{weights_.pointers(),
                                             geometry,
                                             weights_.geometry().groups,
                                             groups_that_share(product::weight_group, geometry),
                                             code_groups,
                                             groups_that_share(product::code_group, geometry),
                                             prepared,
                                             x.rows(),
                                             bias_.size() > 0 ? bias_.data() : nullptr,
                                             y.data(),
                                             y.row_stride()};
    // Pieces of some microseconds, of whole register tiles; cut by shape alone. Panels of a piece
    // share what activations they find in the cache.
    constexpr std::size_t piece_products = 65536;
    const std::size_t together = x.rows() < 16 ? 4 : 8;
    const std::size_t piece =
        round_up(divide_up(piece_products, panel_rows * geometry.padded_cols * x.rows()), together);
    run.for_each(divide_up(geometry.panels, piece), [&](std::size_t i) {
      kernels.run(arguments, i * piece, std::min((i + 1) * piece, geometry.panels));
    });
  }

  /// The same with scratch memory of its own.
  template <executor Executor = serial, class Isa = isa_tag>
  void operator()(matrix_view<const float> x, matrix_view<float> y,
                  const Executor& run = {}) const {
    workspace scratch;
    this->template operator()<Executor, Isa>(x, y, run, scratch);
  }

 private:
  using product = detail::integer_product<weight_spec, activation_spec, activation_when>;
  /// Whether any call makes codes of activations.
  static constexpr bool has_codes = uses_integers || uses_digits || uses_wide_digits;

  template <class Isa>
  static detail::linear_kernels<transform_type> select(std::size_t n_tokens) {
    return detail::with_best_target<Isa>([n_tokens]<class Target>() {
      (void)n_tokens;
      if constexpr (uses_bits) {
        return kernels_of<typename Target::xnor_matmul,
                          typename Target::template prepare_signs<transform_type>>(1);
      } else if constexpr (uses_integers) {
        using codes = typename product::codes;
        using format = typename codes::format;
        using rounding = std::conditional_t<is_calibrated<recipe_type>,
                                            detail::stored_scale_codes<format>, format>;
        if constexpr (Target::template most_table_tokens<layout> > 0) {
          if (n_tokens <= Target::template most_table_tokens<layout>) {
            return code_kernels<Target,
                                typename Target::template table_matmul<layout, product::scales>,
                                rounding>();
          }
        }
        return code_kernels<
            Target, typename Target::template integer_matmul<layout, product::scales>, rounding>();
      } else if constexpr (uses_digits) {
        if constexpr (Target::template most_table_tokens<layout> > 0) {
          if (n_tokens <= Target::template most_table_tokens<layout>) {
            using tables = typename Target::template digit_table_matmul<layout>;
            return float_kernels<Target, tables>(2 * tables::kCodeBytes);
          }
        }
        using matmul = typename Target::template digit_matmul<layout>;
        if constexpr (matmul::kMostDigitTokens == matmul::kAnyNumber) {
          return float_kernels<Target, matmul>(2 * matmul::kCodeBytes);
        } else {
          if (n_tokens <= matmul::kMostDigitTokens) {
            return float_kernels<Target, matmul>(2 * matmul::kCodeBytes);
          }
          return float_kernels<Target, typename Target::template float_matmul<layout>>();
        }
      } else {
        if constexpr (uses_wide_digits) {
          using matmul = typename Target::template wide_matmul<layout>;
          if constexpr (matmul::kExists) {
            if (n_tokens == 1) return float_kernels<Target, matmul>(matmul::kOctetBytes);
          }
        }
        return float_kernels<Target, typename Target::template float_matmul<layout>>();
      }
    });
  }
  /// Kernels that take activations as floats, rounded as their spec says.
  template <class Target, class Matmul>
  static detail::linear_kernels<transform_type> float_kernels(
      std::size_t octet_bytes = 8 * sizeof(float)) {
    using rounding = typename detail::float_rounding<activation_spec, activation_when>::type;
    return kernels_of<Matmul, typename Target::template prepare<Matmul, transform_type, rounding>>(
        octet_bytes);
  }
  template <class Target, class Matmul, class Rounding>
  static detail::linear_kernels<transform_type> code_kernels() {
    return kernels_of<Matmul, typename Target::template prepare<Matmul, transform_type, Rounding>>(
        2 * Matmul::kCodeBytes);
  }
  template <class Matmul, class Prepare>
  static detail::linear_kernels<transform_type> kernels_of(std::size_t octet_bytes) {
    return {octet_bytes, Matmul::kDigits, &Prepare::TileTokens, &Prepare::Run, &Matmul::Run};
  }

  /// The weights' geometry with groups cut as finely as those of the activations.
  QOMPOSE_INLINE panel_geometry product_geometry() const noexcept {
    const panel_geometry& geometry = weights_.geometry();
    if constexpr (uses_integers) {
      if constexpr (product::code_group < product::weight_group) {
        return {geometry.rows, geometry.cols, std::min(product::code_group, geometry.cols),
                layout::step};
      }
    }
    return geometry;
  }
  /// How many of the product's groups make one of `columns` columns.
  QOMPOSE_INLINE static std::size_t groups_that_share(std::size_t columns,
                                                      const panel_geometry& geometry) noexcept {
    if constexpr (!uses_integers) return 1;
    return columns == product::whole ? geometry.groups : columns / product::group;
  }
  /// Columns that share a scale of the activations.
  QOMPOSE_INLINE std::size_t code_group_cols() const noexcept {
    constexpr std::size_t group = uses_integers ? product::codes::group : 0;
    return group == 0 ? in_features() : std::min(group, in_features());
  }

  QOMPOSE_INLINE void check_activation_scales() const {
    if constexpr (is_calibrated<recipe_type>) {
      detail::require_stored_scales<activation_spec>("activation_scales", activation_scales(),
                                                     in_features());
    }
  }
  QOMPOSE_INLINE void check_shapes(matrix_view<const float> x, matrix_view<float> y) const {
    if (x.cols() != in_features()) {
      throw_shape_error("linear: x", x.rows(), x.cols(), x.rows(), in_features());
    }
    if (y.rows() != x.rows() || y.cols() != out_features()) {
      throw_shape_error("linear: y", y.rows(), y.cols(), x.rows(), out_features());
    }
  }

  packed_type weights_;
  aligned_buffer<float> bias_;
  [[no_unique_address]] transform_data transform_;
  [[no_unique_address]] activation_scales_type activation_scales_;
  [[no_unique_address]] typename recipe_type::sparsity_type::data sparsity_;
  [[no_unique_address]] typename recipe_type::low_rank_type::data low_rank_;
  [[no_unique_address]] typename recipe_type::outliers_type::data outliers_;
};

inline namespace QOMPOSE_ISA {

/// The effective dense weights of a layer, in the original basis.
///
/// @param layer  a compressed layer
/// @param out    [out_features, in_features], overwritten
/// @param run    who runs the rows
/// @throws qompose::shape_error if the shapes disagree
template <class Recipe, executor Executor = serial>
void dequantize(const linear<Recipe>& layer, matrix_view<float> out, const Executor& run = {}) {
  if (out.rows() != layer.out_features() || out.cols() != layer.in_features()) {
    throw_shape_error("dequantize: out", out.rows(), out.cols(), layer.out_features(),
                      layer.in_features());
  }
  run.for_each(out.rows(), [&](std::size_t r) { layer.weight_row(r, out.row(r)); });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

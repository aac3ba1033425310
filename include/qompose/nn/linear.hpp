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
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/packing/packed_bits.hpp"
#include "qompose/packing/packed_matrix.hpp"
#include "qompose/quantize/fake_quantize.hpp"
#include "qompose/recipe/recipe.hpp"

namespace qompose {
namespace detail {

/// Activations that the integer kernels take: int8, one float scale a token.
template <class Spec>
inline constexpr bool is_int8_per_token = false;
template <>
inline constexpr bool is_int8_per_token<quant<int8, per_token>> = true;

/// Weights and activations that the xnor kernels take: signs, one float scale a row and a token.
template <class Weights, class Activations>
inline constexpr bool is_xnor = false;
template <>
inline constexpr bool is_xnor<quant<binary, per_channel>, quant<binary, per_token>> = true;

/// The kernels of one recipe on one target.
template <class Transform>
struct linear_kernels {
  std::size_t (*tile_tokens)(std::size_t n_tokens);
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
/// @tparam Recipe  a `recipe<...>`, or a tensor spec for `recipe<weight<spec>>`. Integer weights
///                 with `activation<quant<int8, per_token>>` run on integer dot products, signs on
///                 both sides on xnor and popcount; every other pair decodes weights to float and
///                 rounds the activations as their spec says.
/// @par Identity
/// Activation codes and int32 sums are the same on every target and for every number of threads.
template <class Recipe>
class linear {
 public:
  using recipe_type = as_recipe<Recipe>;
  using weight_spec = typename recipe_type::weight_spec;
  using activation_spec = typename recipe_type::activation_spec;
  using transform_type = typename recipe_type::transform_type;
  using layout = panel_layout<weight_spec>;

  /// Whether the products run on integers.
  static constexpr bool uses_integers =
      detail::is_int8_per_token<activation_spec> && layout::is_integer && layout::is_scaled;
  /// Whether they run on single bits.
  static constexpr bool uses_bits = detail::is_xnor<weight_spec, activation_spec>;

  /// The weights as the kernels read them.
  using packed_type = std::conditional_t<uses_bits, packed_bits, packed_matrix<weight_spec>>;

  QOMPOSE_INLINE linear() noexcept = default;
  /// Takes weights already folded and packed; `compress` is the usual way.
  /// @param weights  [out_features, in_features]
  /// @param bias     [out_features], or empty
  QOMPOSE_INLINE linear(packed_type weights, aligned_buffer<float> bias)
      : weights_(std::move(weights)), bias_(std::move(bias)) {}

  [[nodiscard]] QOMPOSE_INLINE std::size_t in_features() const noexcept {
    return weights_.geometry().cols;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t out_features() const noexcept {
    return weights_.geometry().rows;
  }
  /// Bytes of codes, scales and bias, padding to the kernels' step included.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return weights_.storage_bytes() + bias_.size() * sizeof(float);
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
  /// @par Error  against exact sums, at most (groups + 2) 2^-23 sum |s_g acc_g| per element
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

    const detail::linear_kernels<transform_type> kernels = select<Isa>();
    const panel_geometry& geometry = weights_.geometry();
    const std::size_t width = kernels.tile_tokens(x.rows());
    const std::size_t tiles = divide_up(x.rows(), width);
    const std::size_t workers = std::min<std::size_t>(tiles, 16);

    detail::activation_tiles prepared;
    float* rows = nullptr;
    std::int8_t* codes = nullptr;
    const auto lay_out = [&](std::byte* base) {
      detail::arena memory(base);
      const std::size_t values = tiles * width * geometry.padded_cols;
      prepared.values = memory.take<std::byte>(uses_bits       ? values / 8
                                               : uses_integers ? values
                                                               : values * sizeof(float));
      if constexpr (uses_integers || uses_bits) {
        prepared.scales = memory.take<float>(tiles * width);
      }
      if constexpr (uses_integers) {
        prepared.corrections = memory.take<std::int32_t>(tiles * width * geometry.groups);
        if constexpr (layout::has_offset) {
          prepared.sums = memory.take<float>(tiles * width * geometry.groups);
        }
      }
      rows = memory.take<float>(workers * round_up(in_features(), 16));
      codes = memory.take<std::int8_t>(workers * round_up(in_features(), 64));
      return memory.used();
    };
    lay_out(scratch.reserve(lay_out(nullptr)));

    const detail::prepare_arguments prepare{x.data(), x.row_stride(), x.rows(), geometry, prepared};
    const auto prepare_share = [&](std::size_t worker) {
      for (std::size_t t = worker; t < tiles; t += workers) {
        kernels.prepare(prepare, transform_, t, rows + worker * round_up(in_features(), 16),
                        codes + worker * round_up(in_features(), 64));
      }
    };
    // A few rows are done before another thread could wake up.
    if (x.rows() * x.cols() < 16384) {
      serial{}.for_each(workers, prepare_share);
    } else {
      run.for_each(workers, prepare_share);
    }

    const detail::matmul_arguments product{weights_.pointers(),
                                           geometry,
                                           prepared,
                                           x.rows(),
                                           bias_.size() > 0 ? bias_.data() : nullptr,
                                           y.data(),
                                           y.row_stride()};
    // Pieces of some microseconds, of whole register tiles; cut by shape alone.
    constexpr std::size_t piece_products = 65536;
    const std::size_t piece =
        round_up(divide_up(piece_products, panel_rows * geometry.padded_cols * x.rows()), 4);
    run.for_each(divide_up(geometry.panels, piece), [&](std::size_t i) {
      kernels.run(product, i * piece, std::min((i + 1) * piece, geometry.panels));
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
  template <class Isa>
  static detail::linear_kernels<transform_type> select() {
    return detail::with_best_target<Isa>([]<class Target>() {
      using matmul = typename decltype([] {
        if constexpr (uses_bits) {
          return std::type_identity<typename Target::xnor_matmul>{};
        } else if constexpr (uses_integers) {
          return std::type_identity<typename Target::template integer_matmul<layout>>{};
        } else {
          return std::type_identity<typename Target::template float_matmul<layout>>{};
        }
      }())::type;
      using rounding = std::conditional_t<std::is_same_v<activation_spec, fp32>, void,
                                          detail::round_to<activation_spec>>;
      using prepare =
          std::conditional_t<uses_bits, typename Target::template prepare_signs<transform_type>,
                             typename Target::template prepare<matmul, transform_type, rounding>>;
      return detail::linear_kernels<transform_type>{&prepare::TileTokens, &prepare::Run,
                                                    &matmul::Run};
    });
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
  [[no_unique_address]] typename transform_type::data transform_;
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

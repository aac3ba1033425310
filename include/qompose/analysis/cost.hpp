// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a layer costs, counted and not measured: operations, bytes, cache, energy, and the
/// time that a machine cannot go below.

#include <algorithm>
#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/nn/linear.hpp"

namespace qompose {

/// The work of one product [n_tokens, in_features] x [out_features, in_features]^T and the bytes
/// that have to cross the memory bus for it, each counted once.
struct layer_cost {
  double n_tokens = 0.0;
  double multiply_adds = 0.0;
  double weight_bytes = 0.0;      ///< codes, scales, zero points, codebooks, bias
  double activation_bytes = 0.0;  ///< read
  double result_bytes = 0.0;      ///< written
  bool uses_integers = false;     ///< whether the multiply-adds are int8 x int8 -> int32
  /// Elements that have to stay in cache for `bytes()` to be all that moves: the activations, which
  /// every row of weights meets again, and one result a token.
  double cached_elements = 0.0;

  /// A multiply-add is two operations.
  [[nodiscard]] QOMPOSE_INLINE constexpr double operations() const noexcept {
    return 2.0 * multiply_adds;
  }
  [[nodiscard]] QOMPOSE_INLINE constexpr double bytes() const noexcept {
    return weight_bytes + activation_bytes + result_bytes;
  }
  /// Operations a byte.
  [[nodiscard]] QOMPOSE_INLINE constexpr double intensity() const noexcept {
    return bytes() > 0.0 ? operations() / bytes() : 0.0;
  }
};

/// What a machine can do at most, in operations and bytes a second.
struct machine {
  double integer_operations = 0.0;  ///< of the int8 dot product
  double float_operations = 0.0;    ///< of the float multiply-add that the layer uses
  double bandwidth = 0.0;           ///< bytes read from where the weights are

  [[nodiscard]] QOMPOSE_INLINE constexpr double operations(bool integers) const noexcept {
    return integers ? integer_operations : float_operations;
  }
  /// The intensity, in operations a byte, from which on arithmetic is the limit.
  [[nodiscard]] QOMPOSE_INLINE constexpr double ridge(bool integers) const noexcept {
    return operations(integers) / bandwidth;
  }
};

/// Energy of single operations, in picojoules.
///
/// @par Source
/// 45 nm, 0.9 V: Horowitz, "Computing's Energy Problem (and what we can do about it)", ISSCC 2014,
/// figure 1.1.9; the memory access as Han et al., "EIE", ISCA 2016, table 1, count it. A newer
/// process divides all of them; the ratios are what to look at.
struct energy_table {
  double int8_multiply = 0.2;
  double int32_add = 0.1;
  double float_multiply = 3.7;
  double float_add = 0.9;
  double memory_32_bits = 640.0;
};

/// Energy of one call, in picojoules.
struct layer_energy {
  double arithmetic = 0.0;
  double memory = 0.0;
  [[nodiscard]] QOMPOSE_INLINE constexpr double total() const noexcept {
    return arithmetic + memory;
  }
};

/// What a product that is computed tile by tile moves and holds, in elements.
struct tile_cost {
  double moved_elements = 0.0;   ///< both factors, once for each tile that they meet; results
  double staged_elements = 0.0;  ///< a slice of both factors, in cache
  double held_elements = 0.0;    ///< partial sums, in registers
};

inline namespace QOMPOSE_ISA {

/// The cost of a product from its sizes.
///
/// @param out_features   rows of W
/// @param in_features    columns of W
/// @param n_tokens       rows of X, >= 0
/// @param weight_bytes   of all of W
/// @param element_bytes  of one activation and one result
/// @param uses_integers  whether the multiply-adds are int8 x int8 -> int32
[[nodiscard]] constexpr layer_cost product_cost(std::size_t out_features, std::size_t in_features,
                                                std::size_t n_tokens, double weight_bytes,
                                                double element_bytes, bool uses_integers) noexcept {
  const auto out = static_cast<double>(out_features);
  const auto in = static_cast<double>(in_features);
  const auto n = static_cast<double>(n_tokens);
  return {.n_tokens = n,
          .multiply_adds = out * in * n,
          .weight_bytes = weight_bytes,
          .activation_bytes = n * in * element_bytes,
          .result_bytes = n * out * element_bytes,
          .uses_integers = uses_integers,
          .cached_elements = n * (in + 1.0)};
}

/// The cost of one call of a layer.
///
/// @param layer     its sizes and `storage_bytes()`, padding included
/// @param n_tokens  rows of activations of the call
template <class Recipe>
[[nodiscard]] layer_cost cost(const linear<Recipe>& layer, std::size_t n_tokens) noexcept {
  return product_cost(layer.out_features(), layer.in_features(), n_tokens,
                      static_cast<double>(layer.storage_bytes()), sizeof(float),
                      linear<Recipe>::uses_integers);
}

/// The least time of a call, in seconds: the longer of its arithmetic and its traffic.
/// @par Source
/// Williams, Waterman, Patterson, "Roofline", Communications of the ACM 52(4), 2009.
[[nodiscard]] constexpr double least_seconds(const layer_cost& call, const machine& m) noexcept {
  return std::max(call.operations() / m.operations(call.uses_integers), call.bytes() / m.bandwidth);
}

/// Operations a second that the machine allows a call: its peak, or intensity times bandwidth.
[[nodiscard]] constexpr double most_operations(const layer_cost& call, const machine& m) noexcept {
  return std::min(m.operations(call.uses_integers), call.intensity() * m.bandwidth);
}

/// Tokens a second that one sequence at a time cannot exceed, as every token reads all bytes.
/// @param bytes_a_token  weights and cache
[[nodiscard]] constexpr double most_tokens(double bytes_a_token, const machine& m) noexcept {
  return m.bandwidth / bytes_a_token;
}

/// Tokens in one call at which reading the weights takes as long as multiplying by them; fewer
/// leave arithmetic idle, more leave the memory idle.
[[nodiscard]] constexpr double balanced_tokens(const layer_cost& call, const machine& m) noexcept {
  const double operations_a_token = call.operations() / call.n_tokens;
  return call.weight_bytes / m.bandwidth * m.operations(call.uses_integers) / operations_a_token;
}

/// What a call takes in energy: its multiply-adds, and its bytes from memory.
[[nodiscard]] constexpr layer_energy energy(const layer_cost& call,
                                            const energy_table& table = {}) noexcept {
  const double one = call.uses_integers ? table.int8_multiply + table.int32_add
                                        : table.float_multiply + table.float_add;
  return {.arithmetic = call.multiply_adds * one,
          .memory = call.bytes() / 4.0 * table.memory_32_bits};
}

/// The product [m, k] x [k, n] with its results cut into tiles, one after another.
///
/// @param tile_rows   rows of a tile, 1 .. m
/// @param tile_cols   columns of a tile, 1 .. n
/// @param tile_depth  of the k terms, those whose factors are in cache at a time
/// @return elements; with square tiles of b, (2 / b) m n k of the factors. One tile of all results
///         is the outer product form, which reads each factor once and holds every partial sum
[[nodiscard]] constexpr tile_cost tiles(double m, double n, double k, double tile_rows,
                                        double tile_cols, double tile_depth) noexcept {
  return {.moved_elements = m * n * k * (1.0 / tile_rows + 1.0 / tile_cols) + m * n,
          .staged_elements = (tile_rows + tile_cols) * tile_depth,
          .held_elements = tile_rows * tile_cols};
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Hadamard matrices whose order is no power of two.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"

namespace qompose::detail {

/// H of 1 and -1 with H H^T = order * I, made by the first of these that fits the order:
/// * Paley I, q = order - 1 a prime of the form 4 k + 3: H = I + S with S = [[0, 1], [-1, Q]]
/// * Paley II, q = order / 2 - 1 a prime of the form 4 k + 1: H = C (x) [[1, 1], [1, -1]] +
///   I (x) [[1, -1], [-1, -1]] with C = [[0, 1], [1, Q]]
/// * Williamson, orders 52, 92 and 172: [[A, B, C, D], [-B, A, -D, C], [-C, D, A, -B],
///   [-D, -C, B, A]] with symmetric circulants A, B, C, D
///
/// Q[i][j] = chi(j - i), the Legendre symbol modulo q.
///
/// @par Source
/// Paley, "On orthogonal matrices", J. Math. and Physics 12, 1933; Williamson, "Hadamard's
/// determinant theorem and the sum of four squares", Duke Math. J. 11, 1944. The sequences were
/// found by a search.
class hadamard_matrix {
 public:
  static constexpr std::size_t largest_order = 256;

  /// Whether there is a construction for the order.
  QOMPOSE_INLINE static constexpr bool exists(std::size_t order) noexcept {
    return order <= largest_order && construction_of(order) != construction::none;
  }

  /// @param order  one that exists
  QOMPOSE_INLINE constexpr explicit hadamard_matrix(std::size_t order) noexcept
      : construction_(construction_of(order)) {
    switch (construction_) {
      case construction::paley_1:
        set_residues(order - 1);
        break;
      case construction::paley_2:
        set_residues(order / 2 - 1);
        break;
      case construction::williamson:
        modulus_ = order / 4;
        for (const sequences& s : known_sequences) {
          if (s.order == order) sequences_ = s;
        }
        break;
      case construction::none:
        break;
    }
  }

  /// Whether the element of row i and column j is -1.
  [[nodiscard]] QOMPOSE_INLINE constexpr bool is_negative(std::size_t i,
                                                          std::size_t j) const noexcept {
    switch (construction_) {
      case construction::paley_1:
        if (i == 0 || i == j) return false;
        return j == 0 || symbol(i - 1, j - 1) < 0;
      case construction::paley_2: {
        const std::size_t row = i / 2;
        const std::size_t col = j / 2;
        if (row == col) return i % 2 + j % 2 > 0;
        const bool negative = row > 0 && col > 0 && symbol(row - 1, col - 1) < 0;
        return negative != (i % 2 == 1 && j % 2 == 1);
      }
      case construction::williamson: {
        constexpr std::string_view blocks[4] = {"ABCD", "bAdC", "cDAb", "dcBA"};
        const char block = blocks[i / modulus_][j / modulus_];
        const bool minus = block >= 'a';
        const auto which = static_cast<std::size_t>(block - (minus ? 'a' : 'A'));
        const std::size_t shift = (j % modulus_ + modulus_ - i % modulus_) % modulus_;
        return minus != (sequences_.rows[which][shift] == '-');
      }
      case construction::none:
        break;
    }
    return false;
  }

 private:
  enum class construction { none, paley_1, paley_2, williamson };

  /// First rows of A, B, C and D.
  struct sequences {
    std::size_t order = 0;
    std::string_view rows[4];
  };
  static constexpr sequences known_sequences[] = {
      {52, {"++++-+--+-+++", "++---+--+---+", "++---+--+---+", "+---+-++-+---"}},
      {92,
       {"+++++-++---++---++-++++", "+-+++--++-+--+-++--+++-", "+-+--+++++----+++++--+-",
        "+--++-+-+------+-+-++--"}},
      {172,
       {"+++++-++----+-++--++-++-++--++-+----++-++++",
        "+++---++--+-+-+-++--------++-+-+-+--++---++",
        "++-+-++++-+--+--+++--++--+++--+--+-++++-+-+",
        "+-++-----++++-+-+++-++++-+++-+-++++-----++-"}},
  };

  QOMPOSE_INLINE static constexpr bool is_prime(std::size_t q) noexcept {
    for (std::size_t d = 2; d * d <= q; ++d) {
      if (q % d == 0) return false;
    }
    return q >= 2;
  }

  QOMPOSE_INLINE static constexpr construction construction_of(std::size_t order) noexcept {
    if (order < 4 || order % 4 != 0) return construction::none;
    if (is_prime(order - 1)) return construction::paley_1;
    if (order / 2 % 4 == 2 && is_prime(order / 2 - 1)) return construction::paley_2;
    for (const sequences& s : known_sequences) {
      if (s.order == order) return construction::williamson;
    }
    return construction::none;
  }

  QOMPOSE_INLINE constexpr void set_residues(std::size_t q) noexcept {
    modulus_ = q;
    for (std::size_t x = 1; x < q; ++x) is_residue_[x * x % q] = true;
  }

  /// The Legendre symbol of j - i, which is not 0.
  [[nodiscard]] QOMPOSE_INLINE constexpr int symbol(std::size_t i, std::size_t j) const noexcept {
    return is_residue_[(j + modulus_ - i) % modulus_] ? 1 : -1;
  }

  construction construction_;
  std::size_t modulus_ = 1;
  std::array<bool, largest_order> is_residue_{};
  sequences sequences_{};
};

}  // namespace qompose::detail

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A binary matrix for xnor and popcount: one bit a weight, in panels of 16 rows.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/shared_bytes.hpp"
#include "qompose/formats/binary.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/packing/packed_matrix.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {

/// Columns of a word.
inline constexpr std::size_t word_columns = 64;

/// A [rows, cols] matrix of signs with a scale a row, as [panels][words][16 rows] 64-bit words: bit
/// k % 64 of word k / 64 is column k, 1 for a positive weight. Bits past the last column are 0.
class packed_bits {
 public:
  using quantized_type = quantized_matrix<quant<binary, per_channel>>;

  QOMPOSE_INLINE packed_bits() noexcept = default;
  /// Room for a matrix; `store` fills it.
  QOMPOSE_INLINE packed_bits(std::size_t rows, std::size_t cols)
      : packed_bits(shared_bytes(divide_up(rows, panel_rows) * panel_bytes(cols)), rows, cols) {}
  /// A matrix whose panels exist already, such as those of a mapped file.
  /// @param panels  what `panels()` of the same matrix gave, bits past the last column being 0
  /// @param beside  its scales; the codes are not read
  /// @pre panels has the size that `beside.rows()` and `beside.cols()` ask for
  QOMPOSE_INLINE packed_bits(shared_bytes panels, const quantized_type& beside)
      : packed_bits(std::move(panels), beside.rows(), beside.cols()) {
    store_scales(0, beside);
  }

  /// Bytes of a panel.
  [[nodiscard]] QOMPOSE_INLINE static std::size_t panel_bytes(std::size_t cols) noexcept {
    return divide_up(cols, word_columns) * panel_rows * sizeof(std::uint64_t);
  }
  [[nodiscard]] QOMPOSE_INLINE const panel_geometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return words_.size() + scales_.size() * sizeof(float);
  }
  [[nodiscard]] QOMPOSE_INLINE detail::panel_pointers pointers() const noexcept {
    return {words_.data(), panel_bytes(geometry_.cols),
            reinterpret_cast<const std::uint8_t*>(scales_.data())};
  }
  /// The words, [panels][words][16 rows].
  [[nodiscard]] QOMPOSE_INLINE std::span<const std::uint8_t> panels() const noexcept {
    return {words_.data(), words_.size()};
  }

  /// Stores the rows of `block` at [first_row, ...).
  /// @pre the panels are this object's own
  QOMPOSE_INLINE void store(std::size_t first_row, const quantized_type& block) noexcept {
    for (std::size_t r = 0; r < block.rows(); ++r) {
      for (std::size_t c = 0; c < block.cols(); c += word_columns) {
        std::uint64_t bits = 0;
        for (std::size_t k = c; k < block.cols() && k < c + word_columns; ++k) {
          bits |= std::uint64_t{block.code(r, k)} << (k % word_columns);
        }
        std::memcpy(words_.writable() + byte_at(first_row + r, c), &bits, sizeof(bits));
      }
    }
    store_scales(first_row, block);
  }

  /// The code of element (r, c), unchecked.
  [[nodiscard]] QOMPOSE_INLINE binary::storage_type code(std::size_t r,
                                                         std::size_t c) const noexcept {
    std::uint64_t word;
    std::memcpy(&word, words_.data() + byte_at(r, c), sizeof(word));
    return static_cast<binary::storage_type>((word >> (c % word_columns)) & 1u);
  }
  /// The value that element (r, c) stands for, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float value(std::size_t r, std::size_t c) const noexcept {
    return scales_[r] * binary::decode(code(r, c));
  }
  /// The same matrix with tight codes: what `quantize` made, bit for bit.
  [[nodiscard]] QOMPOSE_INLINE quantized_type quantized() const {
    quantized_type q(geometry_.rows, geometry_.cols);
    for (std::size_t r = 0; r < geometry_.rows; ++r) {
      for (std::size_t c = 0; c < geometry_.cols; ++c) q.set_code(r, c, code(r, c));
    }
    restore_scales(q);
    return q;
  }
  /// Its scales alone, as they were stored.
  [[nodiscard]] QOMPOSE_INLINE quantized_type beside_codes() const {
    quantized_type q(geometry_.rows, geometry_.cols, detail::without_codes{});
    restore_scales(q);
    return q;
  }

 private:
  QOMPOSE_INLINE packed_bits(shared_bytes panels, std::size_t rows, std::size_t cols)
      : geometry_(rows, cols, cols, word_columns),
        words_(std::move(panels)),
        scales_(geometry_.panels * geometry_.groups * panel_rows) {}
  [[nodiscard]] QOMPOSE_INLINE std::size_t byte_at(std::size_t r, std::size_t c) const noexcept {
    return r / panel_rows * panel_bytes(geometry_.cols) +
           (c / word_columns * panel_rows + r % panel_rows) * sizeof(std::uint64_t);
  }
  QOMPOSE_INLINE void store_scales(std::size_t first_row, const quantized_type& block) noexcept {
    if (block.cols() == 0) return;
    for (std::size_t r = 0; r < block.rows(); ++r) scales_[first_row + r] = block.scale(r, 0);
  }
  QOMPOSE_INLINE void restore_scales(quantized_type& q) const noexcept {
    if (geometry_.cols == 0) return;
    for (std::size_t r = 0; r < geometry_.rows; ++r) {
      q.scales().set_code(r, 0, fp32::encode(scales_[r]));
    }
  }

  panel_geometry geometry_;
  shared_bytes words_;
  aligned_buffer<float> scales_;
};

}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The tensors that a quantized matrix becomes in a file.
///
/// A part is a matrix of codes: `codes`, and where the spec has them `scales.codes`, `zeros.codes`
/// and `codebooks.codes`; scales that are quantized themselves go on with `scales.scales.codes`.
/// Codes of fp32, fp16 and bf16 are tensors of F32, F16 and BF16, [rows, cols]; all others are
/// bytes, U8 [rows, bytes of a row].

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/known_codes.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {

/// A tensor that has to be in a file, or that goes into one.
struct stored_part {
  std::string name;
  std::string_view dtype;
  std::vector<std::size_t> shape;
  std::size_t bytes = 0;
  bool is_optional = false;
};

inline namespace QOMPOSE_ISA {

/// [rows, cols] codes of `Format`.
/// @throws qompose::file_error if the sizes overflow
template <element_format Format>
[[nodiscard]] stored_part codes_part(std::string name, std::size_t rows, std::size_t cols) {
  constexpr auto bits = static_cast<std::size_t>(Format::bits);
  if constexpr (is_plain_float<Format>) {
    constexpr std::string_view dtype = std::is_same_v<Format, fp32>   ? "F32"
                                       : std::is_same_v<Format, fp16> ? "F16"
                                                                      : "BF16";
    const std::size_t elements = checked_product(rows, cols, name);
    const std::size_t bytes = checked_product(elements, bits / 8, name);
    return {std::move(name), dtype, {rows, cols}, bytes};
  } else {
    const std::size_t row_bytes = checked_sum(checked_product(cols, bits, name), 7, name) / 8;
    const std::size_t bytes = checked_product(rows, row_bytes, name);
    return {std::move(name), "U8", {rows, row_bytes}, bytes};
  }
}

template <tensor_spec Spec>
void list_parts(std::vector<stored_part>& parts, const std::string& prefix, std::size_t rows,
                std::size_t cols);

/// Appends what a matrix of `Spec` has beside its codes.
template <tensor_spec Spec>
void list_parts_beside_codes(std::vector<stored_part>& parts, const std::string& prefix,
                             std::size_t rows, std::size_t cols) {
  using known = spec_parts<Spec>;
  if constexpr (quant_spec<Spec>) {
    const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
    if constexpr (known::has_scale) {
      list_parts<typename known::scale_format>(parts, prefix + "scales.", grid.rows, grid.cols);
    }
    if constexpr (known::has_zero) {
      list_parts<typename known::zero_type::format>(parts, prefix + "zeros.", grid.rows, grid.cols);
    }
    if constexpr (known::has_codebook) {
      list_parts<typename known::element::entry>(parts, prefix + "codebooks.",
                                                 codebooks_of<Spec>(rows, cols),
                                                 static_cast<std::size_t>(known::element::entries));
    }
  }
}

/// Appends all parts of a [rows, cols] matrix of `Spec`.
/// @throws qompose::file_error if a size overflows
template <tensor_spec Spec>
void list_parts(std::vector<stored_part>& parts, const std::string& prefix, std::size_t rows,
                std::size_t cols) {
  parts.push_back(codes_part<typename spec_parts<Spec>::element>(prefix + "codes", rows, cols));
  list_parts_beside_codes<Spec>(parts, prefix, rows, cols);
}

template <class Matrix, class Visit>
void visit_codes(Matrix& q, Visit&& visit);

/// Calls visit(codes, rows, cols) for every part beside the codes, in the order of the list.
template <class Matrix, class Visit>
void visit_codes_beside(Matrix& q, Visit&& visit) {
  using known = spec_parts<typename Matrix::spec>;
  if constexpr (known::has_scale) visit_codes(q.scales(), visit);
  if constexpr (known::has_zero) visit_codes(q.zeros(), visit);
  if constexpr (known::has_codebook) visit_codes(q.codebooks(), visit);
}

/// Calls visit(codes, rows, cols) for every part.
/// @param q  a quantized_matrix, const or not
template <class Matrix, class Visit>
void visit_codes(Matrix& q, Visit&& visit) {
  visit(q.codes(), q.rows(), q.cols());
  visit_codes_beside(q, visit);
}

/// The bytes of packed codes.
template <element_format Format>
[[nodiscard]] std::span<const std::byte> bytes_of(const packed_codes<Format>& codes) noexcept {
  return std::as_bytes(std::span(codes.data(), codes.storage_bytes()));
}

/// Copies parts from a file and holds every code against its format.
class part_reader {
 public:
  /// @param parts  what the file was found to have
  /// @param bytes  where each of them lies
  part_reader(std::span<const stored_part> parts, std::span<const std::span<const std::byte>> bytes)
      : parts_(parts), bytes_(bytes) {}

  /// Fills the next part.
  /// @throws qompose::value_error at a code that the format does not have
  template <element_format Format>
  void operator()(packed_codes<Format>& codes, std::size_t rows, std::size_t cols) {
    const std::span<const std::byte> bytes = bytes_[next_];
    if (!bytes.empty()) std::memcpy(codes.data(), bytes.data(), bytes.size());
    require_known_codes(parts_[next_].name, codes, rows, cols);
    ++next_;
  }

 private:
  std::span<const stored_part> parts_;
  std::span<const std::span<const std::byte>> bytes_;
  std::size_t next_ = 0;
};

/// Throws unless scales and minima are finite once their levels are multiplied.
template <tensor_spec Spec>
void require_finite_parts(const quantized_matrix<Spec>& q) {
  if (q.rows() > 0 && q.cols() > 0) require_finite_scales("scales", q);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail

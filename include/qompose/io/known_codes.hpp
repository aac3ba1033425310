// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Codes that come from a file are held against their format.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/formats/number_format.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/tensor/packed_codes.hpp"

namespace qompose::detail {
inline namespace QOMPOSE_ISA {

/// Whether a code stands for a finite value: neither one that the format leaves out (`has_code`,
/// the entries of a codebook), nor a NaN or an infinity.
template <element_format Format>
[[nodiscard]] bool is_known_code(typename Format::storage_type code) noexcept {
  if constexpr (learned_format<Format>) {
    return code < Format::entries;
  } else if constexpr (is_plain_float<Format>) {
    // An exponent of ones, which is how infinity is written, marks both.
    const auto infinity = Format::encode(std::numeric_limits<float>::infinity());
    return (code & infinity) != infinity;
  } else {
    if constexpr (requires { Format::has_code(code); }) {
      if (!Format::has_code(code)) return false;
    }
    return std::isfinite(Format::decode(code));
  }
}

/// Which bytes are codes of a format of at most 8 bits, and whether all are that its bits can
/// spell.
struct known_bytes {
  std::array<bool, 256> known = {};
  bool all = true;
};
template <element_format Format>
[[nodiscard]] known_bytes known_bytes_of() noexcept {
  using code_type = typename Format::storage_type;
  constexpr int spelled = 1 << Format::bits;
  constexpr int lowest = std::is_signed_v<code_type> ? -spelled / 2 : 0;
  known_bytes result;
  for (int code = lowest; code < lowest + spelled; ++code) {
    const bool known = is_known_code<Format>(static_cast<code_type>(code));
    result.known[static_cast<std::uint8_t>(code)] = known;
    result.all = result.all && known;
  }
  return result;
}

/// @throws qompose::value_error that names an element and its code
template <element_format Format, class Code>
[[noreturn]] void throw_unknown_code(const std::string& what, std::size_t row, std::size_t col,
                                     Code code) {
  throw value_error(what + ": element (" + std::to_string(row) + ", " + std::to_string(col) +
                    ") has code " + std::to_string(code) + ", which is no finite value of " +
                    std::string(Format::name));
}

/// Throws unless every code stands for a finite value and the bits behind each row's last code are
/// 0.
/// @param what   names the codes in messages
/// @throws qompose::value_error naming the first element that does not
template <element_format Format>
void require_known_codes(const std::string& what, const packed_codes<Format>& codes,
                         std::size_t rows, std::size_t cols) {
  using code_type = typename Format::storage_type;
  if (rows == 0 || cols == 0) return;
  const std::size_t used = cols * static_cast<std::size_t>(Format::bits) % 8;
  const std::size_t row_bytes = codes.storage_bytes() / rows;
  if (used != 0) {
    for (std::size_t r = 0; r < rows; ++r) {
      if ((codes.data()[(r + 1) * row_bytes - 1] >> used) != 0) {
        throw value_error(what + ": row " + std::to_string(r) +
                          ": bits behind the last code are set, expected 0");
      }
    }
  }
  known_bytes bytes;
  if constexpr (Format::bits <= 8) {
    bytes = known_bytes_of<Format>();
    if (bytes.all) return;
  }
  aligned_buffer<code_type> row(cols);
  for (std::size_t r = 0; r < rows; ++r) {
    codes.get_row(r, cols, row.data());
    for (std::size_t c = 0; c < cols; ++c) {
      bool known = false;
      if constexpr (Format::bits <= 8) {
        known = bytes.known[static_cast<std::uint8_t>(row[c])];
      } else {
        known = is_known_code<Format>(row[c]);
      }
      if (!known) throw_unknown_code<Format>(what, r, c, row[c]);
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail

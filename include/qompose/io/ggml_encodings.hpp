// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The element types of GGUF files: one @ref qompose::tensor_encoding each.
///
/// Decoded floats equal those of ggml's reference functions bit for bit.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/ggml_k_blocks.hpp"
#include "qompose/io/ggml_legacy_blocks.hpp"
#include "qompose/io/ggml_ternary_blocks.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

inline constexpr tensor_encoding q4_0_encoding{"Q4_0", 32, 18, &decode_q4_0};
inline constexpr tensor_encoding q4_1_encoding{"Q4_1", 32, 20, &decode_q4_1};
inline constexpr tensor_encoding q5_0_encoding{"Q5_0", 32, 22, &decode_q5_0};
inline constexpr tensor_encoding q5_1_encoding{"Q5_1", 32, 24, &decode_q5_1};
inline constexpr tensor_encoding q8_0_encoding{"Q8_0", 32, 34, &decode_q8_0};
inline constexpr tensor_encoding q2_k_encoding{"Q2_K", 256, 84, &decode_q2_k};
inline constexpr tensor_encoding q3_k_encoding{"Q3_K", 256, 110, &decode_q3_k};
inline constexpr tensor_encoding q4_k_encoding{"Q4_K", 256, 144, &decode_q4_k};
inline constexpr tensor_encoding q5_k_encoding{"Q5_K", 256, 176, &decode_q5_k};
inline constexpr tensor_encoding q6_k_encoding{"Q6_K", 256, 210, &decode_q6_k};
inline constexpr tensor_encoding iq4_nl_encoding{"IQ4_NL", 32, 18, &decode_iq4_nl};
inline constexpr tensor_encoding tq1_0_encoding{"TQ1_0", 256, 54, &decode_tq1_0};
inline constexpr tensor_encoding tq2_0_encoding{"TQ2_0", 256, 66, &decode_tq2_0};
inline constexpr tensor_encoding mxfp4_encoding{"MXFP4", 32, 17, &decode_mxfp4};
inline constexpr tensor_encoding nvfp4_encoding{"NVFP4", 64, 36, &decode_nvfp4};

/// An element type's number in a GGUF file and its encoding.
struct ggml_type {
  std::uint32_t id;
  const tensor_encoding* encoding;
};

/// Every type that can be read.
inline constexpr std::array ggml_types = {
    ggml_type{0, &f32_encoding},     ggml_type{1, &f16_encoding},    ggml_type{2, &q4_0_encoding},
    ggml_type{3, &q4_1_encoding},    ggml_type{6, &q5_0_encoding},   ggml_type{7, &q5_1_encoding},
    ggml_type{8, &q8_0_encoding},    ggml_type{10, &q2_k_encoding},  ggml_type{11, &q3_k_encoding},
    ggml_type{12, &q4_k_encoding},   ggml_type{13, &q5_k_encoding},  ggml_type{14, &q6_k_encoding},
    ggml_type{20, &iq4_nl_encoding}, ggml_type{30, &bf16_encoding},  ggml_type{34, &tq1_0_encoding},
    ggml_type{35, &tq2_0_encoding},  ggml_type{39, &mxfp4_encoding}, ggml_type{40, &nvfp4_encoding},
};

/// The encoding of a type number; null if it cannot be read.
[[nodiscard]] inline const tensor_encoding* find_ggml_encoding(std::uint32_t type) noexcept {
  const auto* found = std::find_if(ggml_types.begin(), ggml_types.end(),
                                   [&](const ggml_type& t) { return t.id == type; });
  return found == ggml_types.end() ? nullptr : found->encoding;
}

/// The type number of an encoding.
/// @throws qompose::argument_error if GGUF files have no such encoding
[[nodiscard]] inline std::uint32_t ggml_type_of(const tensor_encoding& encoding) {
  // By name: translation units with other flags have encodings of their own.
  const auto* found = std::find_if(ggml_types.begin(), ggml_types.end(), [&](const ggml_type& t) {
    return t.encoding->name == encoding.name;
  });
  if (found == ggml_types.end()) {
    throw argument_error(std::string(encoding.name) + ": GGUF has no such type");
  }
  return found->id;
}

/// What ggml calls a type, readable here or not, with its number: `IQ2_XXS (16)`.
[[nodiscard]] inline std::string ggml_type_text(std::uint32_t type) {
  constexpr std::array<std::string_view, 43> names = {
      "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
      "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
      "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
      "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
      "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
      "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",    "Q1_0",
      "Q2_0"};
  const std::string name(type < names.size() ? names[type] : "unknown");
  return name + " (" + std::to_string(type) + ")";
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The catalogue as data: each name with its source and its use, for programs that list or
/// visit all of them.

#include <string_view>
#include <tuple>

#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace qompose {

/// One named tensor spec.
template <class Spec>
struct catalogue_row {
  using spec = Spec;
  std::string_view name;
  std::string_view source;  ///< paper, specification or software
  std::string_view use;     ///< what to use it for
};

/// Every name of catalogue.hpp, and the plain formats of 16 bits.
inline constexpr std::tuple catalogue{
    catalogue_row<fp16>{"fp16", "IEEE 754", "reference, caches"},
    catalogue_row<bf16>{"bf16", "arXiv:1905.12322",
                        "reference, caches, trained weights as they come"},

    catalogue_row<w8_channel>{"w8_channel", "arXiv:1712.05877",
                              "weights, near lossless, integer kernels"},
    catalogue_row<w8_g32>{"w8_g32", "arXiv:2206.01861", "weights with outliers, near lossless"},
    catalogue_row<w8_g64>{"w8_g64", "arXiv:2206.01861", "weights with outliers, near lossless"},
    catalogue_row<w8_g128>{"w8_g128", "arXiv:2206.01861", "weights with outliers, near lossless"},
    catalogue_row<w4_channel>{"w4_channel", "arXiv:2210.17323",
                              "weights after GPTQ or a rotation, fastest"},
    catalogue_row<w4_g32>{"w4_g32", "arXiv:1909.05840", "weights, the safe 4-bit choice"},
    catalogue_row<w4_g64>{"w4_g64", "arXiv:1909.05840", "weights, between g32 and g128"},
    catalogue_row<w4_g128>{"w4_g128", "arXiv:2210.17323", "weights after GPTQ or AWQ"},
    catalogue_row<w3_channel>{"w3_channel", "arXiv:2210.17323", "weights, with a solver only"},
    catalogue_row<w3_g32>{"w3_g32", "arXiv:2210.17323", "weights, 3-bit with the least loss"},
    catalogue_row<w3_g64>{"w3_g64", "arXiv:2210.17323", "weights, with a solver"},
    catalogue_row<w3_g128>{"w3_g128", "arXiv:2210.17323", "weights, with a solver"},
    catalogue_row<w2_channel>{"w2_channel", "arXiv:2210.17323", "studies of extreme compression"},
    catalogue_row<w2_g32>{"w2_g32", "arXiv:2210.17323", "weights, with a solver and a rotation"},
    catalogue_row<w2_g64>{"w2_g64", "arXiv:2210.17323", "studies of extreme compression"},
    catalogue_row<w2_g128>{"w2_g128", "arXiv:2210.17323", "studies of extreme compression"},

    catalogue_row<w4_minimum_g32>{"w4_minimum_g32", "ggml Q4_1",
                                  "skewed weights, 4-bit with the least loss"},
    catalogue_row<w4_zero_g128>{"w4_zero_g128", "arXiv:2306.00978",
                                "weights after AWQ, as checkpoints store them"},
    catalogue_row<w3_zero_g128>{"w3_zero_g128", "arXiv:2306.00978", "weights after AWQ"},
    catalogue_row<w2_zero_g64>{"w2_zero_g64", "arXiv:2402.02750",
                               "caches (KIVI), weights of 2 bits"},

    catalogue_row<a8_token>{"a8_token", "arXiv:2206.01861",
                            "activations of the integer kernels, caches"},
    catalogue_row<a8_g128>{"a8_g128", "arXiv:2412.19437", "activations with outliers"},
    catalogue_row<fp8_token>{"fp8_token", "arXiv:2209.05433", "activations with outliers, caches"},

    catalogue_row<fp8_e4m3_channel>{"fp8_e4m3_channel", "arXiv:2209.05433",
                                    "weights, near lossless"},
    catalogue_row<fp8_e4m3_tensor>{"fp8_e4m3_tensor", "arXiv:2209.05433",
                                   "weights as FP8 checkpoints store them"},
    catalogue_row<fp8_e4m3_block>{"fp8_e4m3_block", "arXiv:2412.19437",
                                  "weights as DeepSeek-V3 stores them"},
    catalogue_row<fp8_e5m2_tensor>{"fp8_e5m2_tensor", "arXiv:2209.05433", "gradients, wide ranges"},

    catalogue_row<mxfp8_e4m3>{"mxfp8_e4m3", "OCP MX 1.0", "weights and activations, near lossless"},
    catalogue_row<mxfp8_e5m2>{"mxfp8_e5m2", "OCP MX 1.0", "wide ranges"},
    catalogue_row<mxfp6_e3m2>{"mxfp6_e3m2", "OCP MX 1.0", "activations of 6 bits"},
    catalogue_row<mxfp6_e2m3>{"mxfp6_e2m3", "OCP MX 1.0",
                              "weights of 6 bits, exact as small integers"},
    catalogue_row<mxfp4>{"mxfp4", "OCP MX 1.0",
                         "weights trained for it; rule mx_even or mse_search"},
    catalogue_row<mxint8>{"mxint8", "OCP MX 1.0", "weights and activations, near lossless"},

    catalogue_row<nvfp4>{"nvfp4", "arXiv:2509.25149",
                         "weights and activations of 4 bits; rule mse_search"},
    catalogue_row<vsq4_v16>{"vsq4_v16", "arXiv:2102.04503", "weights on integer hardware, V = 16"},
    catalogue_row<vsq4_v64>{"vsq4_v64", "arXiv:2102.04503", "weights on integer hardware, V = 64"},
    catalogue_row<vsq8_v16>{"vsq8_v16", "arXiv:2102.04503",
                            "activations on integer hardware, V = 16"},
    catalogue_row<vsq8_v64>{"vsq8_v64", "arXiv:2102.04503",
                            "activations on integer hardware, V = 64"},
    catalogue_row<w4_progressive>{"w4_progressive", "arXiv:2405.04532",
                                  "4-bit weights that run as int8 (QServe)"},
    catalogue_row<q4_k_like>{"q4_k_like", "ggml Q4_K",
                             "weights, least loss at 4.5 bits; rule mse_search"},
    catalogue_row<q5_k_like>{"q5_k_like", "ggml Q5_K",
                             "weights, least loss at 5.5 bits; rule mse_search"},

    catalogue_row<nf4_g64>{"nf4_g64", "arXiv:2305.14314", "frozen weights under adapters"},
    catalogue_row<nf4_double>{"nf4_double", "arXiv:2305.14314",
                              "the same, smaller; not bitsandbytes' bytes"},

    catalogue_row<q4_0>{"q4_0", "ggml Q4_0",
                        "exchange with GGUF; rule signed_extreme or mse_search"},
    catalogue_row<q4_1>{"q4_1", "ggml Q4_1", "exchange with GGUF; rule mse_search"},
    catalogue_row<q5_0>{"q5_0", "ggml Q5_0",
                        "exchange with GGUF; rule signed_extreme or mse_search"},
    catalogue_row<q5_1>{"q5_1", "ggml Q5_1", "exchange with GGUF; rule mse_search"},
    catalogue_row<q8_0>{"q8_0", "ggml Q8_0", "exchange with GGUF, near lossless"},

    catalogue_row<ternary_channel>{"ternary_channel", "arXiv:1605.04711",
                                   "weights trained ternary"},
    catalogue_row<ternary_tensor>{"ternary_tensor", "arXiv:2402.17764",
                                  "weights trained ternary, one scale (BitNet)"},
    catalogue_row<binary_channel>{"binary_channel", "arXiv:1603.05279", "weights trained binary"},
    catalogue_row<binary_g128>{"binary_g128", "arXiv:1603.05279",
                               "weights trained binary, in groups"},

    catalogue_row<codebook4>{"codebook4", "arXiv:1510.00149",
                             "weights, 4 bits with the least loss a row"},
    catalogue_row<codebook3>{"codebook3", "arXiv:2306.07629",
                             "weights, 3 bits (SqueezeLLM without outliers)"},
    catalogue_row<codebook4_shared>{"codebook4_shared", "arXiv:2401.18079",
                                    "caches (KVQuant), many small groups"},
};

/// Calls visit(row) for every row of the catalogue.
template <class Visit>
constexpr void for_each_in_catalogue(Visit&& visit) {
  std::apply([&](const auto&... rows) { (visit(rows), ...); }, catalogue);
}

}  // namespace qompose

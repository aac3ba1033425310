// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Models from llama2.c files.

#include <filesystem>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/decoder/collect_weights.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/llama2c.hpp"

namespace qompose {

/// What Meta's Llama checkpoints, and our reader of llama2.c files, call the parts of a decoder.
inline constexpr tensor_names llama2c_tensor_names{
    .embedding = "tok_embeddings",
    .final_norm = "norm",
    .head = "output",
    .layer = "layers.",
    .attention_norm = "attention_norm",
    .q_proj = "attention.wq",
    .k_proj = "attention.wk",
    .v_proj = "attention.wv",
    .o_proj = "attention.wo",
    .q_norm = "",  // such models have none
    .k_norm = "",
    .ffn_norm = "ffn_norm",
    .gate_proj = "feed_forward.w1",
    .up_proj = "feed_forward.w3",
    .down_proj = "feed_forward.w2",
};

inline namespace QOMPOSE_ISA {

/// Opens a llama2.c model.
/// @throws qompose::file_error
[[nodiscard]] inline model_weights load_llama2c(const std::filesystem::path& path) {
  const llama2c_file file(path);
  const llama2c_header& header = file.header();
  decoder_config config;
  config.architecture = "llama2.c";
  config.dim = header.dim;
  config.hidden_dim = header.hidden_dim;
  config.n_layers = header.n_layers;
  config.n_heads = header.n_heads;
  config.n_kv_heads = header.n_kv_heads;
  config.head_dim = header.dim / header.n_heads;
  config.vocab_size = header.vocab_size;
  config.seq_len = header.seq_len;
  config.tied_embedding = header.tied_embedding;
  // The format does not store these; the program that defines it has them in its source.
  config.rms_norm_eps = 1e-5f;
  config.rope_theta = 10000.0f;
  config.pairing = rope_pairing::interleaved;
  config.bos_id = 1;
  config.eos_ids = {2};
  return naming_file(path, [&] {
    return weight_collector(file, llama2c_tensor_names).collect(std::move(config));
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

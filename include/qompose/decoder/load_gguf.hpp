// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Models from GGUF files: architectures `llama` (Mistral and SmolLM among them), `qwen2`
///        and `qwen3`.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/collect_weights.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/gguf.hpp"

namespace qompose {

/// What GGUF files call the parts of a decoder.
inline constexpr tensor_names gguf_tensor_names{
    .embedding = "token_embd",
    .final_norm = "output_norm",
    .head = "output",
    .layer = "blk.",
    .attention_norm = "attn_norm",
    .q_proj = "attn_q",
    .k_proj = "attn_k",
    .v_proj = "attn_v",
    .o_proj = "attn_output",
    .q_norm = "attn_q_norm",
    .k_norm = "attn_k_norm",
    .ffn_norm = "ffn_norm",
    .gate_proj = "ffn_gate",
    .up_proj = "ffn_up",
    .down_proj = "ffn_down",
};

inline namespace QOMPOSE_ISA {

/// A metadata value that must be there.
/// @throws qompose::file_error naming the key
[[nodiscard]] inline const gguf_value& gguf_required(const gguf_file& file,
                                                     const std::string& key) {
  const gguf_value* value = file.find(key);
  if (value == nullptr) throw file_error(key + ": the file has no such metadata");
  return *value;
}

/// An integer of the metadata, or a default where there is none.
[[nodiscard]] inline std::size_t gguf_size_or(const gguf_file& file, const std::string& key,
                                              std::size_t otherwise) {
  const gguf_value* value = file.find(key);
  return value == nullptr ? otherwise : static_cast<std::size_t>(value->as_uint());
}

/// A token id of the metadata; none where there is none.
[[nodiscard]] inline std::optional<token_id> find_token_id(const gguf_file& file,
                                                           const std::string& key) {
  const gguf_value* value = file.find(key);
  if (value == nullptr) return std::nullopt;
  const std::uint64_t id = value->as_uint();
  if (id > static_cast<std::uint64_t>(std::numeric_limits<token_id>::max())) {
    throw file_error(key + ": " + std::to_string(id) + " is not a token id");
  }
  return static_cast<token_id>(id);
}

/// RoPE scaling of the metadata; without the factors that lie in a tensor.
[[nodiscard]] inline rope_scaling gguf_rope_scaling(const gguf_file& file,
                                                    const std::string& prefix) {
  rope_scaling scaling;
  const gguf_value* type = file.find(prefix + "rope.scaling.type");
  const gguf_value* factor = file.find(prefix + "rope.scaling.factor");
  if (type == nullptr && factor == nullptr) factor = file.find(prefix + "rope.scale_linear");
  const std::string method = type != nullptr ? type->as_string() : factor ? "linear" : "none";
  if (method == "none") return scaling;
  if (method != "linear") {
    throw file_error(prefix + "rope.scaling.type: " + method + ", expected none or linear");
  }
  if (factor == nullptr) throw file_error(prefix + "rope.scaling.factor: is missing");
  // Converters write 0 for no scaling.
  if (factor->as_double() == 0) return scaling;
  scaling.method = rope_scaling::kind::linear;
  scaling.factor = positive_float(factor->as_double(), factor->key);
  return scaling;
}

/// Refuses what the decoder would silently compute wrong.
inline void refuse_unsupported_gguf(const gguf_file& file, const std::string& prefix) {
  const auto refuse_above = [&](const std::string& key, std::size_t most, const char* what) {
    if (gguf_size_or(file, key, 0) > most) throw file_error(key + ": " + what);
  };
  refuse_above(prefix + "expert_count", 0, "mixtures of experts are not read");
  refuse_above("split.count", 1, "models split into several files are not read; merge them");
  const gguf_value* causal = file.find(prefix + "attention.causal");
  if (causal != nullptr && !causal->as_bool()) {
    throw file_error(causal->key + ": attention that looks ahead is not read");
  }
  // None of our architectures has it: their window, where they have one, is that of all layers.
  const std::string pattern = prefix + "attention.sliding_window_pattern";
  if (file.find(pattern) != nullptr) throw file_error(pattern + ": is not read");
}

/// The configuration that the metadata describes, not checked yet.
[[nodiscard]] inline decoder_config gguf_config(const gguf_file& file) {
  decoder_config config;
  config.architecture = gguf_required(file, "general.architecture").as_string();
  if (config.architecture != "llama" && config.architecture != "qwen2" &&
      config.architecture != "qwen3") {
    throw file_error("general.architecture: " + config.architecture +
                     ", expected llama, qwen2 or qwen3");
  }
  const std::string prefix = config.architecture + ".";
  refuse_unsupported_gguf(file, prefix);
  const auto size = [&](const char* key) {
    return static_cast<std::size_t>(gguf_required(file, prefix + key).as_uint());
  };
  config.dim = size("embedding_length");
  config.hidden_dim = size("feed_forward_length");
  config.n_layers = size("block_count");
  config.n_heads = size("attention.head_count");
  config.n_kv_heads = gguf_size_or(file, prefix + "attention.head_count_kv", config.n_heads);
  config.seq_len = size("context_length");

  if (config.n_heads == 0) throw file_error(prefix + "attention.head_count: is 0");
  config.head_dim =
      gguf_size_or(file, prefix + "attention.key_length", config.dim / config.n_heads);
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    const std::size_t value = gguf_size_or(file, prefix + key, config.head_dim);
    if (value != config.head_dim) {
      throw file_error(prefix + key + ": " + std::to_string(value) + ", expected " +
                       std::to_string(config.head_dim) + ", the size of a head");
    }
  }
  const gguf_value* eps = &gguf_required(file, prefix + "attention.layer_norm_rms_epsilon");
  config.rms_norm_eps = positive_float(eps->as_double(), eps->key);
  if (const gguf_value* theta = file.find(prefix + "rope.freq_base")) {
    config.rope_theta = positive_float(theta->as_double(), theta->key);
  }
  // The converter of Llama files moves the rows of q and k so that pairs are neighbours.
  config.pairing = config.architecture == "llama" ? rope_pairing::interleaved : rope_pairing::half;
  config.scaling = gguf_rope_scaling(file, prefix);
  config.qk_norm = config.architecture == "qwen3";

  config.bos_id = find_token_id(file, "tokenizer.ggml.bos_token_id");
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const std::optional<token_id> id = find_token_id(file, key);
    if (id &&
        std::find(config.eos_ids.begin(), config.eos_ids.end(), *id) == config.eos_ids.end()) {
      config.eos_ids.push_back(*id);
    }
  }
  return config;
}

/// Opens a GGUF model.
/// @throws qompose::file_error, qompose::shape_error
[[nodiscard]] inline model_weights load_gguf(const std::filesystem::path& path) {
  const gguf_file file(path);
  return naming_file(path, [&] {
    decoder_config config = gguf_config(file);
    weight_collector collector(file, gguf_tensor_names);
    config.tied_embedding = !collector.has(gguf_tensor_names.head);
    // Not every file says how large its vocabulary is, and the embedding cannot lie.
    const file_tensor* embedding = file.find_tensor("token_embd.weight");
    if (embedding == nullptr) throw file_error("token_embd.weight: the file has no such tensor");
    config.vocab_size = gguf_size_or(file, config.architecture + ".vocab_size", embedding->rows());
    if (const gguf_value* tokens = file.find("tokenizer.ggml.tokens")) {
      if (tokens->strings().size() > config.vocab_size) {
        throw file_error("tokenizer.ggml.tokens: " + std::to_string(tokens->strings().size()) +
                         " tokens, the embedding has " + std::to_string(config.vocab_size) +
                         " rows");
      }
    }
    config.scaling.frequency_factors =
        collector.optional_vector("rope_freqs.weight", config.head_dim / 2);
    const bool needs_bias = config.architecture == "qwen2";
    model_weights weights = collector.collect(std::move(config));
    const std::size_t window =
        gguf_size_or(file, weights.config.architecture + ".attention.sliding_window", 0);
    weights.config.windows =
        layer_windows(weights.config, window, [](std::size_t) { return true; });
    for (std::size_t i = 0; needs_bias && i < weights.layers.size(); ++i) {
      const std::string layer = "blk." + std::to_string(i);
      require_bias(weights.layers[i].q_bias, layer + ".attn_q.bias");
      require_bias(weights.layers[i].k_bias, layer + ".attn_k.bias");
      require_bias(weights.layers[i].v_bias, layer + ".attn_v.bias");
    }
    return weights;
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

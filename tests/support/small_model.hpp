// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Complete decoder files with seeded weights, small enough to be cut and bent byte by
///        byte.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qompose/core/random.hpp"
#include "support/gguf_writer.hpp"
#include "support/safetensors_writer.hpp"
#include "support/temporary_folder.hpp"

namespace qompose_tests {

/// Sizes of a small decoder, and what it looks like in a file.
struct small_model {
  std::size_t dim = 8;
  std::size_t hidden_dim = 12;
  std::size_t n_layers = 1;
  std::size_t n_heads = 2;
  std::size_t n_kv_heads = 1;
  std::size_t head_dim = 4;
  std::size_t vocab_size = 6;
  std::size_t seq_len = 16;
  bool tied = true;
  /// q, k and v have biases (Qwen2).
  bool qkv_bias = false;
  /// q and k pass a norm (Qwen3).
  bool qk_norm = false;
  /// One of the GGUF architectures.
  std::string architecture = "llama";
  std::uint64_t seed = 1;
};

/// One tensor: its GGUF and its Hugging Face name, its shape and its values.
struct small_tensor {
  std::string gguf_name;
  std::string hugging_face_name;
  std::vector<std::size_t> shape;
  std::vector<float> values;
};

/// All tensors of a small model. Norms lie around 1, everything else around 0.
inline std::vector<small_tensor> small_tensors(const small_model& m) {
  std::vector<small_tensor> tensors;
  qompose::random_source random(m.seed);
  const auto add = [&](const std::string& gguf_name, const std::string& hugging_face_name,
                       const std::vector<std::size_t>& shape) {
    std::size_t n = 1;
    for (const std::size_t dimension : shape) n *= dimension;
    std::vector<float> values(n);
    const double centre = gguf_name.find("norm") != std::string::npos ? 1.0 : 0.0;
    for (float& value : values) value = static_cast<float>(centre + 0.1 * random.normal());
    tensors.push_back({gguf_name, hugging_face_name, shape, values});
  };
  const std::size_t q_dim = m.n_heads * m.head_dim;
  const std::size_t kv_dim = m.n_kv_heads * m.head_dim;
  add("token_embd.weight", "model.embed_tokens.weight", {m.vocab_size, m.dim});
  for (std::size_t i = 0; i < m.n_layers; ++i) {
    const std::string g = "blk." + std::to_string(i) + ".";
    const std::string h = "model.layers." + std::to_string(i) + ".";
    add(g + "attn_norm.weight", h + "input_layernorm.weight", {m.dim});
    add(g + "attn_q.weight", h + "self_attn.q_proj.weight", {q_dim, m.dim});
    add(g + "attn_k.weight", h + "self_attn.k_proj.weight", {kv_dim, m.dim});
    add(g + "attn_v.weight", h + "self_attn.v_proj.weight", {kv_dim, m.dim});
    add(g + "attn_output.weight", h + "self_attn.o_proj.weight", {m.dim, q_dim});
    if (m.qkv_bias) {
      add(g + "attn_q.bias", h + "self_attn.q_proj.bias", {q_dim});
      add(g + "attn_k.bias", h + "self_attn.k_proj.bias", {kv_dim});
      add(g + "attn_v.bias", h + "self_attn.v_proj.bias", {kv_dim});
    }
    if (m.qk_norm) {
      add(g + "attn_q_norm.weight", h + "self_attn.q_norm.weight", {m.head_dim});
      add(g + "attn_k_norm.weight", h + "self_attn.k_norm.weight", {m.head_dim});
    }
    add(g + "ffn_norm.weight", h + "post_attention_layernorm.weight", {m.dim});
    add(g + "ffn_gate.weight", h + "mlp.gate_proj.weight", {m.hidden_dim, m.dim});
    add(g + "ffn_up.weight", h + "mlp.up_proj.weight", {m.hidden_dim, m.dim});
    add(g + "ffn_down.weight", h + "mlp.down_proj.weight", {m.dim, m.hidden_dim});
  }
  add("output_norm.weight", "model.norm.weight", {m.dim});
  if (!m.tied) add("output.weight", "lm_head.weight", {m.vocab_size, m.dim});
  return tensors;
}

/// The metadata that a GGUF model needs, without a tokenizer.
inline gguf_writer small_gguf_metadata(const small_model& m) {
  gguf_writer writer;
  const auto size = [&](const char* key, std::size_t value) {
    writer.set(m.architecture + "." + key, static_cast<std::uint32_t>(value));
  };
  writer.set("general.architecture", m.architecture);
  size("context_length", m.seq_len);
  size("embedding_length", m.dim);
  size("block_count", m.n_layers);
  size("feed_forward_length", m.hidden_dim);
  size("attention.head_count", m.n_heads);
  size("attention.head_count_kv", m.n_kv_heads);
  size("attention.key_length", m.head_dim);
  size("attention.value_length", m.head_dim);
  size("rope.dimension_count", m.head_dim);
  writer.set(m.architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  writer.set(m.architecture + ".rope.freq_base", 10000.0f);
  return writer;
}

/// A whole GGUF model.
inline gguf_writer small_gguf(const small_model& m) {
  gguf_writer writer = small_gguf_metadata(m);
  for (const small_tensor& t : small_tensors(m)) writer.add_tensor(t.gguf_name, t.shape, t.values);
  return writer;
}

/// `config.json` of a model; `more` is put before the closing brace and begins with a comma.
inline std::string small_config_json(const small_model& m, const std::string& architecture,
                                     const std::string& more = "") {
  const auto size = [](const char* key, std::size_t value) {
    return ",\"" + std::string(key) + "\":" + std::to_string(value);
  };
  return "{\"architectures\":[\"" + architecture + "\"],\"hidden_act\":\"silu\"" +
         size("hidden_size", m.dim) + size("intermediate_size", m.hidden_dim) +
         size("num_hidden_layers", m.n_layers) + size("num_attention_heads", m.n_heads) +
         size("num_key_value_heads", m.n_kv_heads) + size("head_dim", m.head_dim) +
         size("vocab_size", m.vocab_size) + size("max_position_embeddings", m.seq_len) +
         ",\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":" + (m.tied ? "true" : "false") + more +
         "}";
}

/// A whole safetensors file.
inline safetensors_writer small_safetensors(const small_model& m) {
  safetensors_writer writer;
  for (const small_tensor& t : small_tensors(m)) {
    writer.add_tensor(t.hugging_face_name, t.shape, t.values);
  }
  return writer;
}

/// Writes `config.json` and `model.safetensors` into a folder.
inline void write_small_hugging_face(const small_model& m, const std::filesystem::path& folder,
                                     const std::string& architecture,
                                     const std::string& more = "") {
  write_file(folder / "config.json", small_config_json(m, architecture, more));
  small_safetensors(m).write(folder / "model.safetensors");
}

/// A whole llama2.c file; needs dim == n_heads * head_dim. The values are those of the other two
/// files, tensor by tensor.
inline std::vector<std::byte> small_llama2c(const small_model& m) {
  std::vector<std::byte> file;
  const auto append = [&](std::span<const std::byte> bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
  };
  const auto vocab = static_cast<std::int32_t>(m.vocab_size);
  const std::int32_t header[] = {
      static_cast<std::int32_t>(m.dim),        static_cast<std::int32_t>(m.hidden_dim),
      static_cast<std::int32_t>(m.n_layers),   static_cast<std::int32_t>(m.n_heads),
      static_cast<std::int32_t>(m.n_kv_heads), m.tied ? vocab : -vocab,
      static_cast<std::int32_t>(m.seq_len)};
  append(std::as_bytes(std::span(header)));
  const std::vector<small_tensor> tensors = small_tensors(m);
  const auto append_all = [&](std::string_view ending) {
    for (const small_tensor& t : tensors) {
      if (std::string_view(t.gguf_name).ends_with(ending)) {
        append(std::as_bytes(std::span(t.values)));
      }
    }
  };
  for (const char* ending :
       {"token_embd.weight", ".attn_norm.weight", ".attn_q.weight", ".attn_k.weight",
        ".attn_v.weight", ".attn_output.weight", ".ffn_norm.weight", ".ffn_gate.weight",
        ".ffn_down.weight", ".ffn_up.weight", "output_norm.weight"}) {
    append_all(ending);
  }
  append(std::vector<std::byte>(m.seq_len * (m.head_dim / 2) * 2 * sizeof(float)));
  if (!m.tied) {
    for (const small_tensor& t : tensors) {
      if (t.gguf_name == "output.weight") append(std::as_bytes(std::span(t.values)));
    }
  }
  return file;
}

}  // namespace qompose_tests

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Models from Hugging Face folders: `config.json` and safetensors files.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/collect_weights.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/json_text.hpp"
#include "qompose/io/safetensors.hpp"

namespace qompose {

/// What Hugging Face checkpoints call the parts of a decoder.
inline constexpr tensor_names hugging_face_tensor_names{
    .embedding = "model.embed_tokens",
    .final_norm = "model.norm",
    .head = "lm_head",
    .layer = "model.layers.",
    .attention_norm = "input_layernorm",
    .q_proj = "self_attn.q_proj",
    .k_proj = "self_attn.k_proj",
    .v_proj = "self_attn.v_proj",
    .o_proj = "self_attn.o_proj",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .ffn_norm = "post_attention_layernorm",
    .gate_proj = "mlp.gate_proj",
    .up_proj = "mlp.up_proj",
    .down_proj = "mlp.down_proj",
};

inline namespace QOMPOSE_ISA {

/// The members of a JSON object, by type; a wrong type is an error that names the key.
class json_members {
 public:
  /// @throws qompose::file_error unless `object` is an object; it must outlive this
  explicit json_members(const nlohmann::json& object, std::string name = "")
      : object_(object), name_(std::move(name)) {
    if (!object.is_object()) throw file_error(name_ + "expected a JSON object");
  }
  /// Null when there is none.
  [[nodiscard]] const nlohmann::json* find(const std::string& key) const {
    return find_member(object_, key);
  }
  [[nodiscard]] std::size_t size(const std::string& key) const {
    return as_size(key, required(key));
  }
  [[nodiscard]] std::size_t size(const std::string& key, std::size_t otherwise) const {
    const nlohmann::json* value = find(key);
    return value == nullptr ? otherwise : as_size(key, *value);
  }
  [[nodiscard]] float positive(const std::string& key) const {
    return as_positive(key, required(key));
  }
  [[nodiscard]] float positive(const std::string& key, float otherwise) const {
    const nlohmann::json* value = find(key);
    return value == nullptr ? otherwise : as_positive(key, *value);
  }
  [[nodiscard]] bool flag(const std::string& key) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) throw file_error(name_ + key + ": expected true or false");
    return value->get<bool>();
  }
  [[nodiscard]] std::string text(const std::string& key, const std::string& otherwise) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) return otherwise;
    if (!value->is_string()) throw file_error(name_ + key + ": expected a string");
    return value->get<std::string>();
  }

 private:
  [[nodiscard]] const nlohmann::json& required(const std::string& key) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) throw file_error(name_ + key + ": is missing");
    return *value;
  }
  [[nodiscard]] std::size_t as_size(const std::string& key, const nlohmann::json& value) const {
    if (!value.is_number_unsigned()) {
      throw file_error(name_ + key + ": expected an integer that is not negative");
    }
    return value.get<std::size_t>();
  }
  [[nodiscard]] float as_positive(const std::string& key, const nlohmann::json& value) const {
    if (!value.is_number()) throw file_error(name_ + key + ": expected a number");
    return positive_float(value.get<double>(), name_ + key);
  }

  const nlohmann::json& object_;
  std::string name_;
};

/// A token id of `config.json`.
[[nodiscard]] inline token_id as_token_id(const nlohmann::json& value, const std::string& key) {
  if (!value.is_number_unsigned() ||
      value.get<std::uint64_t>() >
          static_cast<std::uint64_t>(std::numeric_limits<token_id>::max())) {
    throw file_error(key + ": expected a token id");
  }
  return value.get<token_id>();
}

/// Reads `rope_theta` and `rope_scaling`, or what newer writers put together in
/// `rope_parameters`.
inline void read_rope(const json_members& members, decoder_config& config) {
  config.rope_theta = members.positive("rope_theta", config.rope_theta);
  const bool joined = members.find("rope_parameters") != nullptr;
  const std::string name = joined ? "rope_parameters" : "rope_scaling";
  const nlohmann::json* object = members.find(name);
  if (object == nullptr) return;
  const json_members rope(*object, name + ": ");
  config.rope_theta = rope.positive("rope_theta", config.rope_theta);
  const std::string method = rope.text("rope_type", rope.text("type", "default"));
  if (method == "default") return;
  if (method == "linear") {
    config.scaling.method = rope_scaling::kind::linear;
  } else if (method == "llama3") {
    config.scaling.method = rope_scaling::kind::llama3;
    config.scaling.low_freq_factor = rope.positive("low_freq_factor");
    config.scaling.high_freq_factor = rope.positive("high_freq_factor");
    config.scaling.original_seq_len = rope.size("original_max_position_embeddings");
  } else {
    throw file_error(name + ": type " + method + ", expected default, linear or llama3");
  }
  config.scaling.factor = rope.positive("factor");
}

/// Refuses what the decoder would silently compute wrong.
inline void refuse_unsupported_config(const json_members& members) {
  const std::string activation = members.text("hidden_act", "silu");
  if (activation != "silu") {
    throw file_error("hidden_act: " + activation + ", expected silu");
  }
  if (members.find("quantization_config") != nullptr) {
    throw file_error("quantization_config: quantized checkpoints are not read");
  }
  if (members.positive("partial_rotary_factor", 1.0f) != 1.0f) {
    throw file_error("partial_rotary_factor: expected 1");
  }
}

inline constexpr const char* mistral_architecture = "MistralForCausalLM";

/// The windows that `config.json` gives to layers: all layers of a Mistral; of a Qwen that says it
/// uses them, those that `layer_types` names, or those from `max_window_layers` on.
/// @param config  of the same file, with the number of layers that there are weights of
[[nodiscard]] inline std::vector<std::size_t> hugging_face_windows(const nlohmann::json& json,
                                                                   const decoder_config& config) {
  const json_members members(json);
  if (config.architecture == mistral_architecture) {
    // `null` means no window; a file that does not mention it means the default.
    const std::size_t window =
        members.size("sliding_window", json.contains("sliding_window") ? 0 : 4096);
    return layer_windows(config, window, [](std::size_t) { return true; });
  }
  // Qwen files carry a window that is in use only when they say so; those of others mean nothing.
  if (!config.architecture.starts_with("Qwen") || !members.flag("use_sliding_window")) return {};
  const std::size_t window = members.size("sliding_window", 4096);
  const nlohmann::json* types = members.find("layer_types");
  if (types == nullptr) {
    const std::size_t first = members.size("max_window_layers", 28);
    return layer_windows(config, window, [&](std::size_t i) { return i >= first; });
  }
  if (!types->is_array() || types->size() != config.n_layers) {
    throw file_error("layer_types: expected a list of " + std::to_string(config.n_layers) +
                     " names");
  }
  for (const nlohmann::json& type : *types) {
    if (type != "sliding_attention" && type != "full_attention") {
      throw file_error("layer_types: " + type.dump() +
                       ", expected sliding_attention or full_attention");
    }
  }
  return layer_windows(config, window,
                       [&](std::size_t i) { return (*types)[i] == "sliding_attention"; });
}

/// The configuration that `config.json` describes, not checked yet; without windows, which are
/// read when the weights have shown that the number of layers is true.
[[nodiscard]] inline decoder_config hugging_face_config(const nlohmann::json& json) {
  const json_members members(json);
  decoder_config config;
  const nlohmann::json* architectures = members.find("architectures");
  if (architectures == nullptr || !architectures->is_array() || architectures->size() != 1 ||
      !architectures->front().is_string()) {
    throw file_error("architectures: expected a list of one name");
  }
  config.architecture = architectures->front().get<std::string>();
  const bool llama = config.architecture == "LlamaForCausalLM";
  const bool mistral = config.architecture == mistral_architecture;
  const bool qwen2 = config.architecture == "Qwen2ForCausalLM";
  const bool qwen3 = config.architecture == "Qwen3ForCausalLM";
  if (!llama && !mistral && !qwen2 && !qwen3) {
    throw file_error("architectures: " + config.architecture +
                     ", expected LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM or "
                     "Qwen3ForCausalLM");
  }
  refuse_unsupported_config(members);

  config.dim = members.size("hidden_size");
  config.hidden_dim = members.size("intermediate_size");
  config.n_layers = members.size("num_hidden_layers");
  config.n_heads = members.size("num_attention_heads");
  config.n_kv_heads = members.size("num_key_value_heads", config.n_heads);
  if (config.n_heads == 0) throw file_error("num_attention_heads: is 0");
  config.head_dim = members.size("head_dim", qwen3 ? 128 : config.dim / config.n_heads);
  config.vocab_size = members.size("vocab_size");
  config.seq_len = members.size("max_position_embeddings");
  config.rms_norm_eps = members.positive("rms_norm_eps", 1e-6f);
  config.pairing = rope_pairing::half;
  read_rope(members, config);
  config.qk_norm = qwen3;
  config.tied_embedding = members.flag("tie_word_embeddings");

  if (const nlohmann::json* bos = members.find("bos_token_id")) {
    config.bos_id = as_token_id(*bos, "bos_token_id");
  }
  if (const nlohmann::json* eos = members.find("eos_token_id")) {
    if (eos->is_array()) {
      for (const nlohmann::json& id : *eos) {
        config.eos_ids.push_back(as_token_id(id, "eos_token_id"));
      }
    } else {
      config.eos_ids.push_back(as_token_id(*eos, "eos_token_id"));
    }
  }
  return config;
}

/// Throws unless the biases are there that `config.json` promises.
inline void require_biases(const nlohmann::json& json, const model_weights& weights) {
  const json_members members(json);
  const bool all_attention = members.flag("attention_bias");
  const bool mlp = members.flag("mlp_bias");
  const bool qkv = all_attention || weights.config.architecture == "Qwen2ForCausalLM";
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const layer_weights& layer = weights.layers[i];
    const auto require = [&](bool wanted, const std::vector<float>& bias, const char* name) {
      if (wanted) require_bias(bias, "model.layers." + std::to_string(i) + "." + name + ".bias");
    };
    require(qkv, layer.q_bias, "self_attn.q_proj");
    require(qkv, layer.k_bias, "self_attn.k_proj");
    require(qkv, layer.v_bias, "self_attn.v_proj");
    require(all_attention, layer.o_bias, "self_attn.o_proj");
    require(mlp, layer.gate_bias, "mlp.gate_proj");
    require(mlp, layer.up_bias, "mlp.up_proj");
    require(mlp, layer.down_bias, "mlp.down_proj");
  }
}

/// Opens a Hugging Face model.
/// @param path  a folder with `config.json`, or a safetensors file beside one
/// @throws qompose::file_error, qompose::shape_error
[[nodiscard]] inline model_weights load_hugging_face(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked at fails when it is opened
  const std::filesystem::path folder =
      std::filesystem::is_directory(path, ignored) ? path : path.parent_path();
  const std::filesystem::path config_path = folder / "config.json";
  const nlohmann::json json = read_json(config_path);
  decoder_config config = naming_file(config_path, [&] {
    decoder_config read = hugging_face_config(json);
    check_config(read);
    return read;
  });
  const safetensors_checkpoint checkpoint(path);
  model_weights weights = naming_file(path, [&] {
    weight_collector collector(checkpoint, hugging_face_tensor_names);
    model_weights read = collector.collect(std::move(config));
    require_biases(json, read);
    return read;
  });
  weights.config.windows =
      naming_file(config_path, [&] { return hugging_face_windows(json, weights.config); });
  return weights;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

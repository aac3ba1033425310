// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Finds the tensors of a decoder in a file and checks their shapes.

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/file_tensor.hpp"

namespace qompose {

/// What a kind of file calls the parts of a decoder, without `.weight` and `.bias`.
struct tensor_names {
  std::string_view embedding;
  std::string_view final_norm;
  std::string_view head;
  /// Followed by the number of the layer and a dot.
  std::string_view layer;
  std::string_view attention_norm;
  std::string_view q_proj;
  std::string_view k_proj;
  std::string_view v_proj;
  std::string_view o_proj;
  std::string_view q_norm;
  std::string_view k_norm;
  std::string_view ffn_norm;
  std::string_view gate_proj;
  std::string_view up_proj;
  std::string_view down_proj;
};

inline namespace QOMPOSE_ISA {

/// Takes the tensors of a decoder out of a file (any class with `tensors()` and `find_tensor()`),
/// noting which ones were asked for.
template <class File>
class weight_collector {
 public:
  /// Both must outlive the collector.
  weight_collector(const File& file, const tensor_names& names) : file_(file), names_(names) {}

  /// True if the file has a tensor `name`.weight.
  [[nodiscard]] bool has(std::string_view name) const {
    return file_.find_tensor(std::string(name) + ".weight") != nullptr;
  }

  /// All weights. Without a tensor `names.head`, or when the configuration says so, the head is
  /// the embedding; a checkpoint of such a model may store either of the two.
  /// @throws qompose::file_error naming a tensor that is missing or has no place in a decoder
  /// @throws qompose::shape_error naming a tensor whose shape contradicts the configuration
  [[nodiscard]] model_weights collect(decoder_config config) {
    check_config(config);
    model_weights weights;
    collect_ends(config, weights);
    for (std::size_t i = 0; i < config.n_layers; ++i) {
      weights.layers.push_back(collect_layer(config, i));
    }
    for (const file_tensor& tensor : file_.tensors()) {
      if (!used_.contains(tensor.name) && !is_recomputed(tensor.name)) {
        throw file_error(tensor.name + ": has no place in a decoder of type " +
                         config.architecture);
      }
    }
    weights.config = std::move(config);
    weights.source_precision = precision_text(weights);
    return weights;
  }

  /// The vector `name`, decoded; empty when the file has none.
  [[nodiscard]] std::vector<float> optional_vector(const std::string& name, std::size_t size) {
    const file_tensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) return {};
    return vector_of(*tensor, size);
  }

 private:
  /// Tables that old writers stored although they follow from the configuration.
  static bool is_recomputed(std::string_view name) {
    return name.ends_with("rotary_emb.inv_freq") || name.ends_with("attn_rot_embd.weight");
  }

  const file_tensor& take(const std::string& name, std::span<const std::size_t> shape) {
    const file_tensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) throw file_error(name + ": the file has no such tensor");
    check_shape(*tensor, shape);
    return *tensor;
  }
  void check_shape(const file_tensor& tensor, std::span<const std::size_t> shape) {
    if (!std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end())) {
      throw shape_error(tensor.name + ": shape " + shape_text(tensor.shape) + ", expected " +
                        shape_text(shape));
    }
    used_.insert(tensor.name);
  }
  std::vector<float> vector_of(const file_tensor& tensor, std::size_t size) {
    check_shape(tensor, std::span(&size, 1));
    std::vector<float> values(size);
    tensor.decode_rows(0, 1, values.data());
    return values;
  }
  weight_source matrix(const std::string& name, std::size_t rows, std::size_t cols) {
    const std::size_t shape[] = {rows, cols};
    weight_source source(take(name + ".weight", shape));
    // GGUF keeps the scale that an NVFP4 tensor has as a whole beside it.
    const std::vector<float> factor = optional_vector(name + ".scale", 1);
    if (!factor.empty()) source.scale_rows(std::vector<float>(rows, factor.front()));
    return source;
  }
  std::vector<float> vector(const std::string& name, std::size_t size) {
    return vector_of(take(name + ".weight", std::span(&size, 1)), size);
  }

  void collect_ends(decoder_config& config, model_weights& weights) {
    const std::string embedding(names_.embedding);
    const std::string head(names_.head);
    const bool only_head = config.tied_embedding && !has(embedding) && has(head);
    weights.embedding = matrix(only_head ? head : embedding, config.vocab_size, config.dim);
    weights.final_norm = vector(std::string(names_.final_norm), config.dim);
    if (config.tied_embedding) {
      // Stored all the same by some writers; then it is a second copy.
      if (has(head)) static_cast<void>(matrix(head, config.vocab_size, config.dim));
      weights.head = weights.embedding;
    } else {
      weights.head = matrix(head, config.vocab_size, config.dim);
    }
  }

  layer_weights collect_layer(const decoder_config& config, std::size_t index) {
    const std::string prefix = std::string(names_.layer) + std::to_string(index) + ".";
    const auto named = [&](std::string_view part) { return prefix + std::string(part); };
    const std::size_t q_dim = config.n_heads * config.head_dim;
    const std::size_t kv_dim = config.n_kv_heads * config.head_dim;

    layer_weights layer;
    layer.attention_norm = vector(named(names_.attention_norm), config.dim);
    layer.q_proj = matrix(named(names_.q_proj), q_dim, config.dim);
    layer.k_proj = matrix(named(names_.k_proj), kv_dim, config.dim);
    layer.v_proj = matrix(named(names_.v_proj), kv_dim, config.dim);
    layer.o_proj = matrix(named(names_.o_proj), config.dim, q_dim);
    if (config.qk_norm) {
      layer.q_norm = vector(named(names_.q_norm), config.head_dim);
      layer.k_norm = vector(named(names_.k_norm), config.head_dim);
    }
    layer.ffn_norm = vector(named(names_.ffn_norm), config.dim);
    layer.gate_proj = matrix(named(names_.gate_proj), config.hidden_dim, config.dim);
    layer.up_proj = matrix(named(names_.up_proj), config.hidden_dim, config.dim);
    layer.down_proj = matrix(named(names_.down_proj), config.dim, config.hidden_dim);

    const auto bias = [&](std::string_view part, std::size_t size) {
      return optional_vector(named(part) + ".bias", size);
    };
    layer.q_bias = bias(names_.q_proj, q_dim);
    layer.k_bias = bias(names_.k_proj, kv_dim);
    layer.v_bias = bias(names_.v_proj, kv_dim);
    layer.o_bias = bias(names_.o_proj, config.dim);
    layer.gate_bias = bias(names_.gate_proj, config.hidden_dim);
    layer.up_bias = bias(names_.up_proj, config.hidden_dim);
    layer.down_bias = bias(names_.down_proj, config.dim);
    return layer;
  }

  static std::string precision_text(const model_weights& weights) {
    std::vector<std::string> kinds;
    for (const layer_weights& l : weights.layers) {
      for (const weight_source* m :
           {&l.q_proj, &l.k_proj, &l.v_proj, &l.o_proj, &l.gate_proj, &l.up_proj, &l.down_proj}) {
        std::string kind = m->encoding_name();
        if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
          kinds.push_back(std::move(kind));
        }
      }
    }
    std::string text;
    for (const std::string& kind : kinds) text += (text.empty() ? "" : " + ") + kind;
    const auto differs = [&](const weight_source& m) {
      return kinds.size() != 1 || m.encoding_name() != kinds.front();
    };
    const bool separate_head = !weights.config.tied_embedding;
    if (differs(weights.embedding) || (separate_head && differs(weights.head))) {
      text += " (embedding " + weights.embedding.encoding_name();
      if (separate_head) text += ", head " + weights.head.encoding_name();
      text += ")";
    }
    return text;
  }

  const File& file_;
  const tensor_names& names_;
  std::set<std::string, std::less<>> used_;
};

/// Throws unless `bias` is there, for models that have one by definition.
/// @throws qompose::file_error
inline void require_bias(const std::vector<float>& bias, const std::string& name) {
  if (bias.empty()) throw file_error(name + ": the file has no such tensor");
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

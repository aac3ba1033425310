// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The sizes and constants of a decoder, whatever file they came from.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/token.hpp"
#include "qompose/nn/rope_scaling.hpp"

namespace qompose {

/// What the decoder must know about a model besides its weights.
struct decoder_config {
  /// As the file names it: `llama`, `qwen2`, `LlamaForCausalLM`, `llama2.c`.
  std::string architecture;
  std::size_t dim = 0;
  std::size_t hidden_dim = 0;
  std::size_t n_layers = 0;
  std::size_t n_heads = 0;
  std::size_t n_kv_heads = 0;
  /// Need not be dim / n_heads.
  std::size_t head_dim = 0;
  std::size_t vocab_size = 0;
  /// Longest context: that of the training, whatever local layers see of it.
  std::size_t seq_len = 0;
  /// Newest tokens that a query of each layer sees, its own included; 0 for all: [n_layers], local
  /// and global layers in any order. Empty where all layers see all. Loaders fill it from what the
  /// file says of a sliding window; the caches of local layers hold no more than they need.
  std::vector<std::size_t> windows;
  /// Scores are bounded to c tanh(score / c); 0 for none.
  float attention_soft_cap = 0.0f;
  float rms_norm_eps = 1e-5f;
  float rope_theta = 10000.0f;
  rope_pairing pairing = rope_pairing::interleaved;
  rope_scaling scaling;
  /// The output head is the embedding.
  bool tied_embedding = false;
  /// Each head of q and k passes an RMSNorm of its own before RoPE (Qwen3).
  bool qk_norm = false;
  /// Token that begins a text, where the model has one.
  std::optional<token_id> bos_id;
  /// Tokens that end a text or a turn.
  std::vector<token_id> eos_ids;
};

inline namespace QOMPOSE_ISA {

/// A positive, finite value as float.
/// @throws qompose::file_error naming `what` otherwise
[[nodiscard]] inline float positive_float(double value, const std::string& what) {
  constexpr auto largest = static_cast<double>(std::numeric_limits<float>::max());
  constexpr auto smallest = static_cast<double>(std::numeric_limits<float>::min());
  if (!(value >= smallest && value <= largest)) {
    throw file_error(what + ": " + std::to_string(value) + ", expected a positive number");
  }
  return static_cast<float>(value);
}

/// What `decoder_config::windows` becomes for `window` tokens in the layers that `is_local` says.
/// A window that holds the longest context is none.
/// @pre the number of layers is that of the weights, so that it cannot be absurd
template <class IsLocal>
[[nodiscard]] std::vector<std::size_t> layer_windows(const decoder_config& config,
                                                     std::size_t window, const IsLocal& is_local) {
  if (window == 0 || window >= config.seq_len) return {};
  std::vector<std::size_t> windows(config.n_layers);
  bool has_local = false;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (!is_local(i)) continue;
    windows[i] = window;
    has_local = true;
  }
  return has_local ? windows : std::vector<std::size_t>{};
}

/// Checks everything about a configuration that can be checked without the weights.
/// @throws qompose::file_error naming the value that is wrong
inline void check_config(const decoder_config& c) {
  const auto require = [&](bool holds, const std::string& message) {
    if (!holds) throw file_error(c.architecture + ": " + message);
  };
  // Token ids are 32-bit, and below this bound products of two sizes cannot overflow.
  const auto require_size = [&](const char* name, std::size_t value) {
    require(value > 0 && value <= std::size_t{0x7fff'ffff},
            std::string(name) + " is " + std::to_string(value) + ", expected 1 to 2^31 - 1");
  };
  require_size("dim", c.dim);
  require_size("hidden_dim", c.hidden_dim);
  require_size("n_layers", c.n_layers);
  require_size("n_heads", c.n_heads);
  require_size("n_kv_heads", c.n_kv_heads);
  require_size("head_dim", c.head_dim);
  require_size("vocab_size", c.vocab_size);
  require_size("seq_len", c.seq_len);
  require(c.windows.empty() || c.windows.size() == c.n_layers, std::to_string(c.windows.size()) +
                                                                   " attention windows, expected " +
                                                                   std::to_string(c.n_layers));
  require(std::isfinite(c.attention_soft_cap) && c.attention_soft_cap >= 0,
          "the soft cap of attention is negative");
  require(c.n_heads % c.n_kv_heads == 0, std::to_string(c.n_heads) + " heads do not share " +
                                             std::to_string(c.n_kv_heads) + " KV heads evenly");
  require(c.head_dim % 2 == 0,
          "head_dim is " + std::to_string(c.head_dim) + ", expected an even number for RoPE");
  require(std::isfinite(c.rms_norm_eps) && c.rms_norm_eps > 0, "rms_norm_eps is not positive");
  require(std::isfinite(c.rope_theta) && c.rope_theta > 0, "rope_theta is not positive");

  const rope_scaling& s = c.scaling;
  if (s.method != rope_scaling::kind::none) {
    require(std::isfinite(s.factor) && s.factor > 0, "the RoPE scaling factor is not positive");
  }
  if (s.method == rope_scaling::kind::llama3) {
    require(s.low_freq_factor > 0 && s.high_freq_factor > s.low_freq_factor &&
                std::isfinite(s.high_freq_factor),
            "RoPE scaling: high_freq_factor must be greater than low_freq_factor");
    require(s.original_seq_len > 0, "RoPE scaling: the original context is 0");
  }
  require(s.frequency_factors.empty() || s.frequency_factors.size() == c.head_dim / 2,
          std::to_string(s.frequency_factors.size()) + " RoPE frequency factors, expected " +
              std::to_string(c.head_dim / 2));
  for (const float factor : s.frequency_factors) {
    require(std::isfinite(factor) && factor > 0, "a RoPE frequency factor is not positive");
  }
  const auto require_token = [&](const char* name, token_id id) {
    require(id >= 0 && static_cast<std::size_t>(id) < c.vocab_size,
            std::string(name) + " is " + std::to_string(id) + ", the vocabulary has " +
                std::to_string(c.vocab_size) + " tokens");
  };
  if (c.bos_id) require_token("bos_id", *c.bos_id);
  for (const token_id id : c.eos_ids) require_token("eos_id", id);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

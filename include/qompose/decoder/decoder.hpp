// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The reference decoder: a Llama-type model whose matrices are stored by recipes.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/cache_choice.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/model_recipe.hpp"
#include "qompose/decoder/session.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/nn/elementwise.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/nn/rope.hpp"

namespace qompose {

/// Which tokens of a call get logits.
enum class logits_for {
  last,  ///< the last one
  all,   ///< every one
};

/// An observer that sees nothing and costs nothing.
struct no_observer {
  QOMPOSE_INLINE void operator()(std::string_view, std::size_t, matrix_view<const float>) const {}
};

/// The weights of one block, compressed.
template <class ModelRecipe>
struct decoder_block {
  aligned_buffer<float> attention_norm;  ///< [dim]
  aligned_buffer<float> q_norm;          ///< [head_dim], or empty
  aligned_buffer<float> k_norm;          ///< [head_dim], or empty
  aligned_buffer<float> ffn_norm;        ///< [dim]
  linear<typename ModelRecipe::qkv> qkv;
  linear<typename ModelRecipe::attention_out> o_proj;
  linear<typename ModelRecipe::ffn_in> gate_up;
  linear<typename ModelRecipe::ffn_out> down_proj;

  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    const std::size_t norms =
        attention_norm.size() + q_norm.size() + k_norm.size() + ffn_norm.size();
    return norms * sizeof(float) + qkv.storage_bytes() + o_proj.storage_bytes() +
           gate_up.storage_bytes() + down_proj.storage_bytes();
  }
};

/// Everything a decoder stores; `compress_model` fills it.
template <class ModelRecipe>
struct decoder_weights {
  decoder_config config;
  std::vector<decoder_block<ModelRecipe>> blocks;
  aligned_buffer<float> final_norm;  ///< [dim]
  linear<typename ModelRecipe::head> head;
  linear<typename ModelRecipe::head> embedding;  ///< read row by row; empty when tied to the head
  std::size_t parameters = 0;                    ///< of the model, compressed or not
};

/// A Llama-type decoder: immutable once made, so that any number of sessions may share it.
///
/// `forward` reads top to bottom and does not know how any matrix is stored.
///
/// @tparam ModelRecipe  derived from `model_recipe`
template <class ModelRecipe>
class decoder {
 public:
  using cache_type = typename ModelRecipe::cache;
  using session_type = session<cache_type>;

  QOMPOSE_INLINE explicit decoder(decoder_weights<ModelRecipe> weights)
      : weights_(std::move(weights)) {}

  [[nodiscard]] QOMPOSE_INLINE const decoder_config& config() const noexcept {
    return weights_.config;
  }
  /// Number of values of the model, a tied embedding counted once.
  [[nodiscard]] QOMPOSE_INLINE std::size_t parameters() const noexcept {
    return weights_.parameters;
  }
  /// Bytes of all weights, norms and the embedding included.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    std::size_t sum = weights_.final_norm.size() * sizeof(float) + weights_.head.storage_bytes() +
                      weights_.embedding.storage_bytes();
    for (const auto& block : weights_.blocks) sum += block.storage_bytes();
    return sum;
  }
  /// Blocks, in order.
  [[nodiscard]] QOMPOSE_INLINE const std::vector<decoder_block<ModelRecipe>>& blocks()
      const noexcept {
    return weights_.blocks;
  }

  /// A new sequence.
  /// @param context    tokens it can hold, 1 .. config().seq_len
  /// @param max_batch  tokens that pass the model together, >= 1
  /// @throws qompose::argument_error if a number is out of its range
  /// @param pool       for caches in pages, see `session`
  [[nodiscard]] QOMPOSE_INLINE session_type
  start(std::size_t context, std::size_t max_batch = 256,
        std::shared_ptr<block_pool> pool = nullptr) const {
    require_sizes(context, max_batch);
    return session_type(config(), context, std::min(max_batch, context), std::move(pool));
  }
  /// The same with caches chosen at run time, whatever those of the recipe are.
  [[nodiscard]] QOMPOSE_INLINE session<any_cache> start(
      const cache_choice& caches, std::size_t context, std::size_t max_batch = 256,
      std::shared_ptr<block_pool> pool = nullptr) const {
    require_sizes(context, max_batch);
    max_batch = std::min(max_batch, context);
    return {config(), context, max_batch,
            caches.make(config(), context, max_batch, std::move(pool))};
  }

  /// Appends tokens to a sequence.
  ///
  /// @param tokens   ids in 0 .. vocab_size - 1, at least one
  /// @param state    a session of this decoder, over its caches or any other ones
  /// @param which    `last`: logits of the last token; `all`: of every token, of which there may
  ///                 then be at most `state.max_batch()`
  /// @param run      who runs the pieces; the result does not depend on it
  /// @param observe  called with (tap, layer, activations [batch, ...]) at every named place:
  ///                 attention_norm, qkv, attention_out_input, attention_out, ffn_norm,
  ///                 ffn_out_input, ffn_out, final_norm
  /// @return [1 or n_tokens, vocab_size], valid until the session is used again
  /// @throws qompose::argument_error if a token is no token or they do not fit; nothing is
  ///         changed then
  /// @throws qompose::out_of_blocks if the pool of a cache in pages has too few blocks; the session
  ///         then holds the batches of tokens that had passed the model before
  template <executor Executor = serial, class Observer = no_observer, class Isa = isa_tag,
            class Cache>
  matrix_view<const float> forward(std::span<const token_id> tokens, session<Cache>& state,
                                   logits_for which = logits_for::last, const Executor& run = {},
                                   const Observer& observe = {}) const {
    check(tokens, state, which);
    const std::size_t rows = which == logits_for::all ? tokens.size() : 1;
    if (state.logits.size() < rows * config().vocab_size) {
      state.logits = aligned_buffer<float>(rows * config().vocab_size);
    }
    std::size_t batch = 0;
    for (std::size_t first = 0; first < tokens.size(); first += batch) {
      batch = std::min(state.max_batch(), tokens.size() - first);
      try {
        run_blocks<Executor, Observer, Isa>(tokens.subspan(first, batch), state, run, observe);
      } catch (...) {
        state.roll_back();
        throw;
      }
    }
    const matrix_view<float> x(state.x.data(), batch, config().dim);
    const matrix_view<float> wanted = x.rows(batch - rows, rows);
    const matrix_view<float> normed(state.normed.data(), rows, config().dim);
    const matrix_view<float> logits(state.logits.data(), rows, config().vocab_size);
    rms_norm<Executor, Isa>(wanted, view(weights_.final_norm), config().rms_norm_eps, normed, run);
    observe("final_norm", config().n_layers, normed);
    weights_.head.template operator()<Executor, Isa>(normed, logits, run, state.scratch);
    return logits;
  }

 private:
  QOMPOSE_INLINE static std::span<const float> view(const aligned_buffer<float>& values) {
    return {values.data(), values.size()};
  }

  QOMPOSE_INLINE void require_sizes(std::size_t context, std::size_t max_batch) const {
    if (context == 0 || context > config().seq_len) {
      throw argument_error("decoder: context of " + std::to_string(context) +
                           " tokens, the model takes 1.." + std::to_string(config().seq_len));
    }
    if (max_batch == 0) throw argument_error("decoder: max_batch is 0, expected at least 1");
  }
  template <class Cache>
  QOMPOSE_INLINE void check(std::span<const token_id> tokens, const session<Cache>& state,
                            logits_for which) const {
    if (tokens.empty()) throw argument_error("decoder: no tokens, expected at least one");
    if (tokens.size() > state.context() - state.length()) {
      throw argument_error("decoder: " + std::to_string(tokens.size()) + " tokens after " +
                           std::to_string(state.length()) + " do not fit a context of " +
                           std::to_string(state.context()));
    }
    if (which == logits_for::all && tokens.size() > state.max_batch()) {
      throw argument_error("decoder: logits of " + std::to_string(tokens.size()) +
                           " tokens asked for, the session's batch is " +
                           std::to_string(state.max_batch()));
    }
    for (const token_id token : tokens) {
      if (token < 0 || static_cast<std::size_t>(token) >= config().vocab_size) {
        throw argument_error("decoder: token " + std::to_string(token) + ", expected 0.." +
                             std::to_string(config().vocab_size - 1));
      }
    }
  }

  template <class Executor, class Observer, class Isa, class Cache>
  void run_blocks(std::span<const token_id> tokens, session<Cache>& state, const Executor& run,
                  const Observer& observe) const {
    const decoder_config& c = config();
    const std::size_t n = tokens.size();
    const std::size_t q_width = c.n_heads * c.head_dim;
    const std::size_t kv_width = c.n_kv_heads * c.head_dim;
    const std::size_t qkv_width = q_width + 2 * kv_width;
    const std::size_t position = state.length();

    const matrix_view<float> x(state.x.data(), n, c.dim);
    const matrix_view<float> normed(state.normed.data(), n, c.dim);
    const matrix_view<float> qkv(state.qkv.data(), n, qkv_width);
    const matrix_view<float> q(qkv.data(), n, q_width, qkv_width);
    const matrix_view<float> k(qkv.data() + q_width, n, kv_width, qkv_width);
    const matrix_view<float> v(qkv.data() + q_width + kv_width, n, kv_width, qkv_width);
    const matrix_view<float> attended(state.attended.data(), n, q_width);
    const matrix_view<float> gate_up(state.gate_up.data(), n, 2 * c.hidden_dim);
    const matrix_view<float> hidden(state.hidden.data(), n, c.hidden_dim);

    embed(tokens, x);
    for (std::size_t layer = 0; layer < c.n_layers; ++layer) {
      const auto& block = weights_.blocks[layer];
      Cache& cache = state.caches[layer];

      rms_norm<Executor, Isa>(x, view(block.attention_norm), c.rms_norm_eps, normed, run);
      observe("attention_norm", layer, normed);
      block.qkv.template operator()<Executor, Isa>(normed, qkv, run, state.scratch);
      normalize_heads<Isa>(block.q_norm, q);
      normalize_heads<Isa>(block.k_norm, k);
      if (!cache.is_before_rope) {
        apply_rope<Isa>(state.rope, c.pairing, position, q);
        apply_rope<Isa>(state.rope, c.pairing, position, k);
      }
      observe("qkv", layer, qkv);
      cache.template append<Isa>(k, v);
      attention<Executor, Isa>(q, cache, attended, run, attention_of(layer, state), state.scratch);
      observe("attention_out_input", layer, attended);
      block.o_proj.template operator()<Executor, Isa>(attended, normed, run, state.scratch);
      observe("attention_out", layer, normed);
      add<Executor, Isa>(normed, x, run);

      rms_norm<Executor, Isa>(x, view(block.ffn_norm), c.rms_norm_eps, normed, run);
      observe("ffn_norm", layer, normed);
      block.gate_up.template operator()<Executor, Isa>(normed, gate_up, run, state.scratch);
      swiglu<Executor, Isa>(gate_up, hidden, run);
      observe("ffn_out_input", layer, hidden);
      block.down_proj.template operator()<Executor, Isa>(hidden, normed, run, state.scratch);
      observe("ffn_out", layer, normed);
      add<Executor, Isa>(normed, x, run);
    }
    state.advance(n);
  }

  /// What attention is asked for in a layer.
  template <class Cache>
  QOMPOSE_INLINE attention_options attention_of(std::size_t layer,
                                                const session<Cache>& state) const noexcept {
    attention_options options;
    if (!config().windows.empty()) options.window = config().windows[layer];
    options.soft_cap = config().attention_soft_cap;
    options.rope = &state.rope;
    options.pairing = config().pairing;
    return options;
  }

  QOMPOSE_INLINE void embed(std::span<const token_id> tokens, matrix_view<float> x) const {
    const auto& table = config().tied_embedding ? weights_.head : weights_.embedding;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      table.weight_row(static_cast<std::size_t>(tokens[t]), x.row(t));
    }
  }

  /// Qwen3: every head of q and of k has a norm of its own. No gain, no norm.
  template <class Isa>
  void normalize_heads(const aligned_buffer<float>& gain, matrix_view<float> heads) const {
    if (gain.size() == 0) return;
    float head[max_head_dim];
    const std::size_t dim = config().head_dim;
    for (std::size_t t = 0; t < heads.rows(); ++t) {
      for (std::size_t c = 0; c < heads.cols(); c += dim) {
        const matrix_view<float> in(heads.row(t) + c, 1, dim);
        rms_norm<serial, Isa>(in, view(gain), config().rms_norm_eps, {head, 1, dim});
        std::memcpy(in.data(), head, dim * sizeof(float));
      }
    }
  }

  decoder_weights<ModelRecipe> weights_;
};

}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Continues a text, or a sequence of tokens, one token at a time.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/sampling.hpp"
#include "qompose/decoder/text_stream.hpp"
#include "qompose/io/tokenizer.hpp"

namespace qompose {

/// How far to generate, and how to choose tokens.
struct generate_options {
  std::size_t max_tokens = 128;    ///< at most so many are generated
  sampling_options sampling = {};  ///< greedy by default
  bool stop_at_end = true;         ///< stop at a token that ends a text or a turn
  std::size_t context = 0;      ///< tokens of prompt and text together; 0: all that the model takes
  std::size_t max_batch = 256;  ///< tokens of the prompt that pass the model together
};

/// The callback that wants to see nothing.
struct ignore_stream {
  template <class T>
  constexpr bool operator()(const T&) const noexcept {
    return true;
  }
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// Calls a callback that may return nothing, or whether to go on.
template <class Callback, class T>
bool wants_more(Callback& callback, const T& value) {
  if constexpr (std::is_void_v<std::invoke_result_t<Callback&, const T&>>) {
    callback(value);
    return true;
  } else {
    return static_cast<bool>(callback(value));
  }
}

/// The loop under both forms of @ref qompose::generate.
template <class Model, class IsEnd, class OnToken, executor Executor>
std::vector<token_id> generate_until(const Model& model, std::span<const token_id> prompt,
                                     const generate_options& options, const IsEnd& is_end,
                                     OnToken& on_token, const Executor& run) {
  const std::size_t most = model.config().seq_len;
  const std::size_t limit = options.context == 0 ? most : options.context;
  if (prompt.empty()) throw argument_error("generate: the prompt has no tokens");
  if (limit > most) {
    throw argument_error("generate: context of " + std::to_string(limit) +
                         " tokens, the model takes at most " + std::to_string(most));
  }
  if (prompt.size() > limit) {
    throw argument_error("generate: the prompt has " + std::to_string(prompt.size()) +
                         " tokens, the context " + std::to_string(limit));
  }
  sampler choose(options.sampling);
  std::vector<token_id> history(prompt.begin(), prompt.end());
  // The last token is chosen but never read, so it needs no room in the cache.
  const std::size_t end = prompt.size() + std::min(options.max_tokens, limit - prompt.size() + 1);
  if (end == prompt.size()) return {};
  history.reserve(end);
  auto state = model.start(end - 1, options.max_batch);

  matrix_view<const float> logits = model.forward(prompt, state, logits_for::last, run);
  while (true) {
    const token_id next = choose({logits.data(), logits.cols()}, history);
    if (options.stop_at_end && is_end(next)) break;
    history.push_back(next);
    if (!wants_more(on_token, next) || history.size() == end) break;
    logits = model.forward(std::span(&next, 1), state, logits_for::last, run);
  }
  history.erase(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(prompt.size()));
  return history;
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Continues a sequence of tokens.
///
/// @param model     a `decoder`
/// @param prompt    at least one token; BOS is the caller's business
/// @param options   how many tokens, how they are chosen; `stop_at_end` stops at
///                  `model.config().eos_ids`
/// @param on_token  called with each `token_id` as soon as it is chosen; may return false to stop
/// @param run       who runs the pieces; the tokens do not depend on it
/// @return the tokens after the prompt, without the one that ends the text; fewer than asked for
///         where the context is full
/// @throws qompose::argument_error if the prompt is empty or does not fit, or an option is wrong
template <class Model, class OnToken = ignore_stream, executor Executor = serial>
std::vector<token_id> generate(const Model& model, std::span<const token_id> prompt,
                               const generate_options& options = {}, OnToken&& on_token = {},
                               const Executor& run = {}) {
  const auto& ends = model.config().eos_ids;
  const auto is_end = [&](token_id id) {
    return std::find(ends.begin(), ends.end(), id) != ends.end();
  };
  return detail::generate_until(model, prompt, options, is_end, on_token, run);
}

/// Continues a text.
///
/// @param model     a `decoder`
/// @param words     its tokenizer
/// @param prompt    the beginning, encoded as the tokenizer's file says (BOS, special tokens)
/// @param options   how many tokens, how they are chosen; `stop_at_end` stops at the end tokens of
///                  the tokenizer and of the model
/// @param on_text   called with each piece of text (`std::string_view`) as it comes, whole UTF-8
///                  characters at a time; may return false to stop
/// @param run       who runs the pieces; the text does not depend on it
/// @return the text after the prompt
/// @throws qompose::argument_error if the prompt has no tokens or does not fit, if the tokenizer
/// has
///         fewer tokens than the model, or if an option is wrong
template <class Model, class OnText = ignore_stream, executor Executor = serial>
std::string generate(const Model& model, const tokenizer& words, std::string_view prompt,
                     const generate_options& options = {}, OnText&& on_text = {},
                     const Executor& run = {}) {
  const auto& ends = model.config().eos_ids;
  const auto is_end = [&](token_id id) {
    return words.is_end(id) || std::find(ends.begin(), ends.end(), id) != ends.end();
  };
  std::string text;
  text_stream stream;
  const auto show = [&](std::string_view part) {
    text += part;
    return part.empty() || detail::wants_more(on_text, part);
  };
  const auto on_token = [&](token_id id) { return show(stream.push(words.piece(id))); };
  const std::vector<token_id> tokens = words.encode(prompt);
  detail::generate_until(model, std::span(tokens), options, is_end, on_token, run);
  show(stream.finish());
  return text;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Cutting a text into the words inside which BPE merges.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/io/text_pattern.hpp"
#include "qompose/io/utf8.hpp"

namespace qompose {

/// What becomes of a match and of the text around it, as tokenizer.json names it.
enum class split_behavior {
  removed,               ///< matches are dropped
  isolated,              ///< each match and each gap is a word
  merged_with_previous,  ///< a match ends the word before it
  merged_with_next,      ///< a match opens the word after it
  contiguous             ///< adjacent matches are one word
};

/// One cut by a pattern.
struct split_step {
  text_pattern pattern;                                ///< what to look for
  split_behavior behavior = split_behavior::isolated;  ///< what to do with it
  bool invert = false;                                 ///< swap matches and gaps
};

/// Steps that cut words finer and finer.
using split_steps = std::vector<split_step>;

/// Runs the cuts of a tokenizer over texts. Holds search state: one per thread and call.
class text_splitter {
 public:
  /// Prepares to cut by steps, which must outlive this.
  explicit text_splitter(const split_steps& steps) {
    for (const split_step& step : steps)
      passes_.push_back({&step, text_pattern::searcher(step.pattern)});
  }

  /// Cuts a text.
  ///
  /// A byte that is not UTF-8 is a word of its own where there is any step.
  /// @param text any bytes
  /// @param words receives the words, in order; they point into `text`, and none is empty
  void split(std::string_view text, std::vector<std::string_view>& words) {
    words.clear();
    if (text.empty()) return;
    if (passes_.empty()) {
      words.push_back(text);
      return;
    }
    for_each_utf8_run(text, [&](std::string_view run, bool is_utf8) {
      if (!is_utf8) {
        words.push_back(run);
        return;
      }
      const std::size_t first = words.size();
      words.push_back(run);
      for (const pass& step : passes_) refine(step, first, words);
    });
  }

 private:
  struct pass {
    const split_step* step;
    text_pattern::searcher searcher;
  };
  struct span {
    text_range range;
    bool is_match;
  };

  /// Cuts the words from index `first` on once more.
  void refine(const pass& current, std::size_t first, std::vector<std::string_view>& words) {
    before_.assign(words.begin() + static_cast<std::ptrdiff_t>(first), words.end());
    words.resize(first);
    for (const std::string_view word : before_) {
      find_spans(current, word);
      emit_spans(current.step->behavior, word, words);
    }
  }

  /// Matches and the gaps between them, in order.
  void find_spans(const pass& current, std::string_view word) {
    spans_.clear();
    const bool invert = current.step->invert;
    const auto add = [&](std::size_t begin, std::size_t end, bool is_match) {
      if (begin != end) spans_.push_back({{begin, end}, is_match != invert});
    };
    std::size_t done = 0;
    std::size_t from = 0;
    while (from < word.size()) {
      const std::optional<text_range> found = current.searcher.find(word, from);
      if (!found) break;
      if (found->begin >= done && found->end > found->begin) {
        add(done, found->begin, false);
        add(found->begin, found->end, true);
        done = from = found->end;
      } else {
        // An empty match: step over one character, or the search would stay here for ever.
        const std::size_t next = std::max(from, found->end);
        from = next + std::max<std::size_t>(1, front_character(word.substr(next)).size);
      }
    }
    add(done, word.size(), false);
  }

  void emit_spans(split_behavior behavior, std::string_view word,
                  std::vector<std::string_view>& words) {
    if (behavior == split_behavior::merged_with_next) {
      join_to_next();
    } else if (behavior != split_behavior::isolated && behavior != split_behavior::removed) {
      join_to_previous(behavior);
    }
    for (const span& part : spans_)
      if (behavior != split_behavior::removed || !part.is_match)
        words.push_back(word.substr(part.range.begin, part.range.end - part.range.begin));
  }

  void join_to_previous(split_behavior behavior) {
    std::vector<span> joined;
    bool previous_match = false;
    for (const span& part : spans_) {
      const bool join = behavior == split_behavior::contiguous ? part.is_match == previous_match
                                                               : part.is_match && !previous_match;
      if (join && !joined.empty()) {
        joined.back().range.end = part.range.end;
      } else {
        joined.push_back(part);
      }
      previous_match = part.is_match;
    }
    spans_ = std::move(joined);
  }

  void join_to_next() {
    std::vector<span> joined;
    bool next_match = false;
    for (auto part = spans_.rbegin(); part != spans_.rend(); ++part) {
      if (part->is_match && !next_match && !joined.empty()) {
        joined.back().range.begin = part->range.begin;
      } else {
        joined.push_back(*part);
      }
      next_match = part->is_match;
    }
    std::reverse(joined.begin(), joined.end());
    spans_ = std::move(joined);
  }

  std::vector<pass> passes_;
  std::vector<std::string_view> before_;
  std::vector<span> spans_;
};

inline namespace QOMPOSE_ISA {

/// The cut of GPT-2: contractions, words, numbers and signs, each with one space before it.
inline split_step gpt2_split() {
  return {text_pattern(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)"
                       R"(|\s+(?!\S)|\s+)")};
}

/// The cut of Llama-3 and Qwen2, which differ in how many digits stay together.
/// @param digits a regular expression for a number
inline split_step llama3_split(const std::string& digits) {
  return {text_pattern(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
                       R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)")};
}

/// The cut of each digit from its neighbours, or of each number from what is around it.
inline split_step digits_split(bool individual) {
  return {text_pattern(R"(\p{N})"),
          individual ? split_behavior::isolated : split_behavior::contiguous};
}

/// Cuts that a GGUF file names in `tokenizer.ggml.pre`.
/// @param name "gpt-2" (also "default"), "llama-bpe" (also "llama3", "llama-v3"), "qwen2" (also
///   "deepseek-r1-qwen"), "smollm"
/// @return the steps, or nothing for any other name
inline std::optional<split_steps> find_pre_tokenizer(std::string_view name) {
  if (name == "gpt-2" || name == "default") return split_steps{gpt2_split()};
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3")
    return split_steps{llama3_split(R"(\p{N}{1,3})")};
  if (name == "qwen2" || name == "deepseek-r1-qwen") return split_steps{llama3_split(R"(\p{N})")};
  if (name == "smollm") return split_steps{digits_split(true), gpt2_split()};
  return std::nullopt;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

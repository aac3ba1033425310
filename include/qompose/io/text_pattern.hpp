// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Regular expressions over UTF-8, run by PCRE2.

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "qompose/core/error.hpp"

namespace qompose {

/// A range of bytes of a text.
struct text_range {
  std::size_t begin = 0;  ///< first byte
  std::size_t end = 0;    ///< one past the last byte
};

/// A compiled pattern; immutable, copies share it, and threads may search with it at once.
///
/// Patterns are those of tokenizer files: Unicode properties, lookahead, `(?i:...)`. `\s` and `\S`
/// mean the Unicode property White_Space, as in the libraries those files are written for; PCRE2's
/// own `\s` also takes U+180E.
class text_pattern {
 public:
  /// How to read the pattern.
  enum class syntax {
    regular_expression,  ///< a regular expression
    literal              ///< the very characters
  };

  /// State of a search that is reused from one call to the next; one per thread.
  class searcher {
   public:
    /// Prepares to search with a pattern, which must outlive this.
    explicit searcher(const text_pattern& pattern)
        : pattern_(&pattern),
          match_(pcre2_match_data_create_from_pattern_8(pattern.code_.get(), nullptr),
                 &pcre2_match_data_free_8) {
      if (!match_) throw std::bad_alloc();
    }

    /// Finds the first match that starts at byte `from` or later.
    /// @param text UTF-8
    /// @param from start of a character of the text
    /// @return the match, possibly empty, or nothing
    /// @throws qompose::argument_error if the pattern takes too much work on this text
    std::optional<text_range> find(std::string_view text, std::size_t from) const {
      int status = run(text, from, 0);
      // A deep match that does not fit the small stack of compiled code fits the interpreter's
      // heap.
      if (status == PCRE2_ERROR_JIT_STACKLIMIT) status = run(text, from, PCRE2_NO_JIT);
      if (status == PCRE2_ERROR_NOMATCH) return std::nullopt;
      if (status < 0)
        throw argument_error("text: the tokenizer's pattern failed on it: " + message(status));
      const std::size_t* const ends = pcre2_get_ovector_pointer_8(match_.get());
      // \K in a lookahead can put the start past the end; read that as an empty match.
      return text_range{std::min(ends[0], ends[1]), ends[1]};
    }

   private:
    int run(std::string_view text, std::size_t from, std::uint32_t options) const {
      return pcre2_match_8(pattern_->code_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()),
                           text.size(), from, PCRE2_NO_UTF_CHECK | options, match_.get(),
                           pattern_->limits_.get());
    }

    const text_pattern* pattern_;
    std::unique_ptr<pcre2_match_data_8, decltype(&pcre2_match_data_free_8)> match_;
  };

  /// Compiles a pattern.
  /// @param pattern UTF-8, at most 64 KiB
  /// @param kind a regular expression or plain characters
  /// @throws qompose::file_error if it is not a pattern, with PCRE2's reason
  explicit text_pattern(std::string_view pattern, syntax kind = syntax::regular_expression) {
    constexpr std::size_t longest = 65536;
    if (pattern.size() > longest)
      throw file_error("tokenizer pattern: " + std::to_string(pattern.size()) +
                       " bytes, expected at most " + std::to_string(longest));
    const bool literal = kind == syntax::literal;
    const std::string translated =
        literal ? std::string(pattern) : with_unicode_white_space(pattern);
    const std::uint32_t options =
        PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C);
    int status = 0;
    std::size_t at = 0;
    pcre2_code_8* const code = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated.data()),
                                               translated.size(), options, &status, &at, nullptr);
    if (code == nullptr)
      throw file_error("tokenizer pattern \"" + std::string(pattern.substr(0, 200)) +
                       "\": " + message(status) + " at byte " + std::to_string(at));
    code_ = std::shared_ptr<pcre2_code_8>(code, &pcre2_code_free_8);
    // Without a just-in-time compiler the interpreter finds the same matches.
    pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE);
    limits_ = std::shared_ptr<pcre2_match_context_8>(pcre2_match_context_create_8(nullptr),
                                                     &pcre2_match_context_free_8);
    if (!limits_) throw std::bad_alloc();
    pcre2_set_match_limit_8(limits_.get(), 10'000'000);
    pcre2_set_heap_limit_8(limits_.get(), 256 * 1024);  // KiB
  }

 private:
  static std::string message(int status) {
    std::array<PCRE2_UCHAR8, 256> text{};
    pcre2_get_error_message_8(status, text.data(), text.size());
    return reinterpret_cast<const char*>(text.data());
  }

  static std::string with_unicode_white_space(std::string_view pattern) {
    std::string result;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] != '\\' || i + 1 == pattern.size()) {
        result += pattern[i];
        continue;
      }
      const char escaped = pattern[++i];
      if (escaped == 's') {
        result += "\\p{White_Space}";
      } else if (escaped == 'S') {
        result += "\\P{White_Space}";
      } else {
        result += '\\';
        result += escaped;
      }
    }
    return result;
  }

  std::shared_ptr<pcre2_code_8> code_;
  std::shared_ptr<pcre2_match_context_8> limits_;
};

}  // namespace qompose

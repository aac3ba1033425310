// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The rewriting that a tokenizer does to a text before it cuts it.

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/utf8.hpp"

namespace qompose {

/// The four normal forms of Unicode Standard Annex 15.
enum class unicode_form { nfc, nfd, nfkc, nfkd };

/// Replaces every occurrence of a string.
struct replace_text {
  std::string from;  ///< what to look for; not empty
  std::string to;    ///< what stands there afterwards
};

/// Puts a string before a text that is not empty.
struct prepend_text {
  std::string text;             ///< what to put there
  bool unless_present = false;  ///< leave a text alone that starts with it already
  bool only_at_start = false;   ///< leave alone what follows a special token
};

/// Drops spaces at both ends and keeps one space of every run, as SentencePiece does by default.
struct collapse_spaces {};

/// One step of rewriting.
using normalizer_step = std::variant<unicode_form, replace_text, prepend_text, collapse_spaces>;

inline namespace QOMPOSE_ISA {

/// Length of the front part of a text that is normalized at once: all of it, unless a run of
/// combining marks is so long that sorting it, which takes quadratic time, would not end.
inline std::size_t normalizable_prefix(std::string_view text) noexcept {
  constexpr std::size_t longest_run = 1000;
  std::size_t run = 0;
  for (std::size_t at = 0; at < text.size();) {
    const utf8_character character = front_character(text.substr(at));
    const auto code_point = static_cast<utf8proc_int32_t>(character.code_point);
    const bool is_mark = code_point >= 0x300 &&  // no mark comes before; spares the look-up
                         utf8proc_get_property(code_point)->combining_class != 0;
    run = is_mark ? run + 1 : 0;
    if (run > longest_run) return at;
    at += character.size;
  }
  return text.size();
}

/// Brings UTF-8 into a Unicode normal form, all at once.
/// @throws qompose::argument_error if the Unicode library refuses the text
inline std::string normalized_utf8(unicode_form form, std::string_view text) {
  int options = UTF8PROC_STABLE;
  const bool composed = form == unicode_form::nfc || form == unicode_form::nfkc;
  const bool compatible = form == unicode_form::nfkc || form == unicode_form::nfkd;
  options |= composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (compatible) options |= UTF8PROC_COMPAT;

  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0)
    throw argument_error(std::string("text: cannot be normalized: ") + utf8proc_errmsg(size));
  return std::string(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
}

/// Brings a text into a Unicode normal form; bytes that are not UTF-8 stay as they are, and after
/// each 1000 combining marks in a row the text starts anew.
/// @throws qompose::argument_error if the Unicode library refuses the text
inline std::string normalized(unicode_form form, const std::string& text) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) return text;

  std::string result;
  for_each_utf8_run(text, [&](std::string_view run, bool is_utf8) {
    if (!is_utf8) {
      result += run;
      return;
    }
    while (!run.empty()) {
      const std::size_t size = normalizable_prefix(run);
      result += normalized_utf8(form, run.substr(0, size));
      run.remove_prefix(size);
    }
  });
  return result;
}

/// Replaces every occurrence of `step.from`, left to right.
inline std::string normalized(const replace_text& step, const std::string& text) {
  std::string result;
  result.reserve(text.size());
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(step.from, begin)) != std::string::npos;) {
    result.append(text, begin, at - begin).append(step.to);
    begin = at + step.from.size();
  }
  return result.append(text, begin, std::string::npos);
}

/// Keeps single spaces between what is not a space.
inline std::string normalized(collapse_spaces, const std::string& text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text)
    if (c != ' ' || (!result.empty() && result.back() != ' ')) result.push_back(c);
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

/// Runs all steps over a text.
/// @param steps what to do, in order
/// @param text any bytes
/// @param at_start whether the text opens the input rather than following a special token
/// @return the rewritten text
inline std::string normalize(const std::vector<normalizer_step>& steps, std::string_view text,
                             bool at_start) {
  std::string result(text);
  for (const normalizer_step& step : steps) {
    if (const auto* prepend = std::get_if<prepend_text>(&step)) {
      const bool present = prepend->unless_present && result.starts_with(prepend->text);
      const bool elsewhere = prepend->only_at_start && !at_start;
      if (!result.empty() && !present && !elsewhere) result.insert(0, prepend->text);
    } else if (const auto* replace = std::get_if<replace_text>(&step)) {
      result = normalized(*replace, result);
    } else if (const auto* form = std::get_if<unicode_form>(&step)) {
      result = normalized(*form, result);
    } else {
      result = normalized(collapse_spaces{}, result);
    }
  }
  return result;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

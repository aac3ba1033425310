// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/io/byte_level_alphabet.hpp"
#include "qompose/io/pre_tokenizer.hpp"
#include "qompose/io/text_normalizer.hpp"
#include "qompose/io/text_pattern.hpp"
#include "qompose/io/utf8.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"

namespace {

using qompose_tests::contains;
using strings = std::vector<std::string>;

strings split(const qompose::split_steps& steps, std::string_view text) {
  qompose::text_splitter splitter(steps);
  std::vector<std::string_view> words;
  splitter.split(text, words);
  return {words.begin(), words.end()};
}

strings split(std::string_view pattern, qompose::split_behavior behavior, std::string_view text,
              bool invert = false) {
  return split({{qompose::text_pattern(pattern), behavior, invert}}, text);
}

struct golden_split {
  std::string pre_tokenizer;
  std::string words;  // the text, cut at every broken bar
};

// Cut by Hugging Face's tokenizers 0.23.
const golden_split golden_splits[] = {
    // clang-format off
    {"gpt-2", "Hello¦ world¦,¦ it¦'s¦ 2024¦!¦ ¦ I¦'ll¦ pay¦ $¦3¦.¦14¦  "},
    {"gpt-2", " ¦ leading¦\n\n ¦ two¦\t¦\t¦tabs¦\r\n¦ x¦ \n"},
    {"gpt-2", "WE¦'¦RE¦ they¦'¦LL¦ don¦'t¦ '¦tis¦ l¦'¦eau"},
    {"gpt-2", "12345¦ 67¦,¦890¦ ½¦ ²³¦ Ⅷ¦ १२"},
    {"gpt-2", "naïve¦ café¦ e¦\u0301¦ a¦\u0323\u0307¦ Å¦ ﬁ"},
    {"gpt-2", "日本語と한국어¦ русский¦ العربية"},
    {"gpt-2", "😀👍🏽¦ 👨\u200d👩\u200d👧¦ ❤\ufe0f!?"},
    {"gpt-2", "a¦\u00a0¦b¦\u2003¦c¦\u3000¦\u200b¦d¦\u180e¦e¦\u2028¦f"},
    {"gpt-2", "if¦ (¦x¦<=¦10¦)¦ {¦\n¦\t¦return¦ y¦;¦ //¦ ok¦\n¦}¦\n\n"},
    {"gpt-2", "snake¦_¦case¦__¦x¦ ¦ ...!!!¦ '¦ſ¦ ’¦s"},
    {"llama-bpe", "Hello¦ world¦,¦ it¦'s¦ ¦202¦4¦!¦ ¦ I¦'ll¦ pay¦ $¦3¦.¦14¦  "},
    {"llama-bpe", " ¦ leading¦\n\n¦ ¦ two¦\t¦\ttabs¦\r\n¦ x¦ \n"},
    {"llama-bpe", "WE¦'RE¦ they¦'LL¦ don¦'t¦ '¦tis¦ l¦'eau"},
    {"llama-bpe", "123¦45¦ ¦67¦,¦890¦ ¦½¦ ¦²³¦ ¦Ⅷ¦ ¦१२"},
    {"llama-bpe", "naïve¦ café¦ e¦\u0301¦ a¦\u0323\u0307¦ Å¦ ﬁ"},
    {"llama-bpe", "日本語と한국어¦ русский¦ العربية"},
    {"llama-bpe", "😀👍🏽¦ 👨\u200d👩\u200d👧¦ ❤\ufe0f!?"},
    {"llama-bpe", "a¦\u00a0b¦\u2003c¦\u3000¦\u200bd¦\u180ee¦\u2028f"},
    {"llama-bpe", "if¦ (¦x¦<=¦10¦)¦ {\n¦\treturn¦ y¦;¦ //¦ ok¦\n¦}\n\n"},
    {"llama-bpe", "snake¦_case¦__¦x¦ ¦ ...!!!¦ '¦ſ¦ ’¦s"},
    {"qwen2", "Hello¦ world¦,¦ it¦'s¦ ¦2¦0¦2¦4¦!¦ ¦ I¦'ll¦ pay¦ $¦3¦.¦1¦4¦  "},
    {"qwen2", " ¦ leading¦\n\n¦ ¦ two¦\t¦\ttabs¦\r\n¦ x¦ \n"},
    {"qwen2", "WE¦'RE¦ they¦'LL¦ don¦'t¦ '¦tis¦ l¦'eau"},
    {"qwen2", "1¦2¦3¦4¦5¦ ¦6¦7¦,¦8¦9¦0¦ ¦½¦ ¦²¦³¦ ¦Ⅷ¦ ¦१¦२"},
    {"qwen2", "naïve¦ café¦ e¦\u0301¦ a¦\u0323\u0307¦ Å¦ ﬁ"},
    {"qwen2", "日本語と한국어¦ русский¦ العربية"},
    {"qwen2", "😀👍🏽¦ 👨\u200d👩\u200d👧¦ ❤\ufe0f!?"},
    {"qwen2", "a¦\u00a0b¦\u2003c¦\u3000¦\u200bd¦\u180ee¦\u2028f"},
    {"qwen2", "if¦ (¦x¦<=¦1¦0¦)¦ {\n¦\treturn¦ y¦;¦ //¦ ok¦\n¦}\n\n"},
    {"qwen2", "snake¦_case¦__¦x¦ ¦ ...!!!¦ '¦ſ¦ ’¦s"},
    {"smollm", "Hello¦ world¦,¦ it¦'s¦ ¦2¦0¦2¦4¦!¦ ¦ I¦'ll¦ pay¦ $¦3¦.¦1¦4¦  "},
    {"smollm", " ¦ leading¦\n\n ¦ two¦\t¦\t¦tabs¦\r\n¦ x¦ \n"},
    {"smollm", "WE¦'¦RE¦ they¦'¦LL¦ don¦'t¦ '¦tis¦ l¦'¦eau"},
    {"smollm", "1¦2¦3¦4¦5¦ ¦6¦7¦,¦8¦9¦0¦ ¦½¦ ¦²¦³¦ ¦Ⅷ¦ ¦१¦२"},
    {"smollm", "naïve¦ café¦ e¦\u0301¦ a¦\u0323\u0307¦ Å¦ ﬁ"},
    {"smollm", "日本語と한국어¦ русский¦ العربية"},
    {"smollm", "😀👍🏽¦ 👨\u200d👩\u200d👧¦ ❤\ufe0f!?"},
    {"smollm", "a¦\u00a0¦b¦\u2003¦c¦\u3000¦\u200b¦d¦\u180e¦e¦\u2028¦f"},
    {"smollm", "if¦ (¦x¦<=¦1¦0¦)¦ {¦\n¦\t¦return¦ y¦;¦ //¦ ok¦\n¦}¦\n\n"},
    {"smollm", "snake¦_¦case¦__¦x¦ ¦ ...!!!¦ '¦ſ¦ ’¦s"},
    // clang-format on
};

}  // namespace

TEST_CASE("pre_tokenizer: words are those of the tokenizers the models were trained with",
          "[io][tokenizer]") {
  constexpr std::string_view bar = "\xc2\xa6";
  for (const auto& [name, words] : golden_splits) {
    strings expected;
    std::string text;
    for (std::size_t begin = 0; begin <= words.size();) {
      const std::size_t end = std::min(words.find(bar, begin), words.size());
      expected.push_back(words.substr(begin, end - begin));
      text += expected.back();
      begin = end + bar.size();
    }
    INFO(name << ": " << words);
    CHECK(split(*qompose::find_pre_tokenizer(name), text) == expected);
  }
}

TEST_CASE("pre_tokenizer: other names of the same cut, and a name that is not known",
          "[io][tokenizer]") {
  CHECK(qompose::find_pre_tokenizer("default"));
  CHECK(qompose::find_pre_tokenizer("llama3"));
  CHECK(qompose::find_pre_tokenizer("llama-v3"));
  CHECK(qompose::find_pre_tokenizer("deepseek-r1-qwen"));
  CHECK_FALSE(qompose::find_pre_tokenizer("tekken"));
}

TEST_CASE("pre_tokenizer: each behavior of a split, and its inverse", "[io][tokenizer]") {
  using enum qompose::split_behavior;
  const std::string text = "-ab--c";
  CHECK(split("-", isolated, text) == strings{"-", "ab", "-", "-", "c"});
  CHECK(split("-", removed, text) == strings{"ab", "c"});
  CHECK(split("-", merged_with_previous, text) == strings{"-", "ab-", "-", "c"});
  CHECK(split("-", merged_with_next, text) == strings{"-ab", "-", "-c"});
  CHECK(split("-", contiguous, text) == strings{"-", "ab", "--", "c"});
  CHECK(split("[a-z]+", removed, text, true) == strings{"ab", "c"});
  CHECK(split("x*", isolated, "axb") == strings{"a", "x", "b"});
  CHECK(split("", isolated, "\xc3\xa9") == strings{"\xc3\xa9"});
  CHECK(split({}, "a b") == strings{"a b"});
  CHECK(split("-", removed, "--").empty());
}

TEST_CASE("pre_tokenizer: a byte that is not UTF-8 is a word of its own", "[io][tokenizer]") {
  CHECK(split(*qompose::find_pre_tokenizer("gpt-2"), "ab\xff\xfe c\xe2\x82") ==
        strings{"ab", "\xff", "\xfe", " c", "\xe2", "\x82"});
}

TEST_CASE("text_pattern: a broken or costly pattern is refused", "[io][tokenizer]") {
  CHECK_THROWS_AS(qompose::text_pattern("(a"), qompose::file_error);
  CHECK_THROWS_WITH(qompose::text_pattern("a)"), contains("tokenizer pattern \"a)\""));
  CHECK_THROWS_AS(qompose::text_pattern(std::string(70000, 'a')), qompose::file_error);
  CHECK_THROWS_AS(qompose::text_pattern("\\C"), qompose::file_error);

  const qompose::text_pattern pattern("(?:(?:a+)+)+[bd]");
  const qompose::text_pattern::searcher searcher(pattern);
  CHECK_THROWS_AS(searcher.find(std::string(200, 'a') + "c", 0), qompose::argument_error);
}

TEST_CASE("text_pattern: white space is Unicode's, and a literal is no expression",
          "[io][tokenizer]") {
  using qompose::text_pattern;
  CHECK(text_pattern::searcher(text_pattern(R"(\s)")).find("\u2003", 0));
  CHECK_FALSE(text_pattern::searcher(text_pattern(R"(\s)")).find("\u180e", 0));
  CHECK_FALSE(text_pattern::searcher(text_pattern(R"(\\s)")).find(" ", 0));
  const auto found =
      text_pattern::searcher(text_pattern("a.c", text_pattern::syntax::literal)).find("abca.c", 0);
  REQUIRE(found);
  CHECK(found->begin == 3);
  CHECK(found->end == 6);
}

TEST_CASE("utf8: every code point survives, and everything else is no character",
          "[io][tokenizer]") {
  bool all_equal = true;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xd800) c = 0xe000;
    std::string text;
    qompose::append_utf8(c, text);
    const auto front = qompose::front_character(text);
    all_equal = all_equal && front.size == text.size() && front.code_point == c;
  }
  CHECK(all_equal);
  for (const char* const wrong :
       {"", "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3x", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xe2\x82", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    CHECK(qompose::front_character(wrong).size == 0);
}

TEST_CASE("byte_level_alphabet: 256 bytes have 256 characters", "[io][tokenizer]") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  CHECK(qompose::unspell_bytes(qompose::spell_bytes(bytes)) == bytes);
  CHECK(qompose::spell_bytes(" \n!") == "\u0120\u010a!");
  CHECK(qompose::unspell_bytes("a b") == "a b");
  CHECK(qompose::unspell_bytes("\u4e00") == "\u4e00");
}

TEST_CASE("text_normalizer: Unicode forms leave bytes that are not UTF-8 alone",
          "[io][tokenizer]") {
  const auto run = [](qompose::unicode_form form, std::string_view text) {
    return qompose::normalize({form}, text, true);
  };
  using enum qompose::unicode_form;
  const std::string text =
      "\xff"
      "e\u0301 \ufb01\xc3";
  CHECK(run(nfc, text) == "\xff\xc3\xa9 \ufb01\xc3");
  CHECK(run(nfd, "\xc3\xa9") == "e\u0301");
  CHECK(run(nfkc, text) == "\xff\xc3\xa9 fi\xc3");
  CHECK(run(nfkd, "\xc3\xa9\ufb01") == "e\u0301fi");
  CHECK(run(nfc, std::string_view("a\0b", 3)) == std::string_view("a\0b", 3));
}

TEST_CASE("text_normalizer: many combining marks take no quadratic time", "[io][tokenizer]") {
  std::string text = "e";
  for (int i = 0; i < 50000; ++i) text += "\u0301\u0323";
  const std::string result = qompose::normalize({qompose::unicode_form::nfd}, text, true);
  CHECK(result.size() == text.size());
}

TEST_CASE("text_normalizer: steps run in order, and only where they should", "[io][tokenizer]") {
  using namespace std::string_literals;
  const auto run = [](std::vector<qompose::normalizer_step> steps, std::string_view text,
                      bool at_start = true) { return qompose::normalize(steps, text, at_start); };
  const qompose::replace_text escape{" ", "_"};
  CHECK(run({qompose::prepend_text{" "}, escape}, "a  b") == "_a__b");
  CHECK(run({qompose::prepend_text{" "}, escape}, "") == "");
  CHECK(run({escape, qompose::prepend_text{"_", true}}, " a") == "_a");
  CHECK(run({qompose::prepend_text{"_", false, true}}, "a", false) == "a");
  CHECK(run({qompose::prepend_text{"_", false, true}}, "a", true) == "_a");
  CHECK(run({qompose::collapse_spaces{}}, "  a   b\n \n ") == "a b\n \n");
  CHECK(run({qompose::collapse_spaces{}}, "   ") == "");
  CHECK(run({qompose::replace_text{"aa", "b"}}, "aaa") == "ba");
}

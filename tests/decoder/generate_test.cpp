// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/generate.hpp"

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "decoder/bigram_model.hpp"
#include "qompose/io/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"

namespace qp = qompose;
using qompose_tests::bigram_model;
using qompose_tests::contains;
using ids = std::vector<qp::token_id>;

namespace {

/// A model that says token + 1, and after the last token the first.
bigram_model counting(std::size_t vocab_size, std::size_t seq_len = 100) {
  std::vector<std::vector<float>> table(vocab_size, std::vector<float>(vocab_size, 0.0f));
  for (std::size_t i = 0; i < vocab_size; ++i) table[i][(i + 1) % vocab_size] = 5.0f;
  return {table, seq_len};
}

/// A tokenizer whose tokens are `pieces`; those of the form <0x..> are bytes, <s> and </s> control.
qp::tokenizer words_of(const std::vector<std::string>& pieces) {
  qp::tokenizer_data data;
  data.byte_fallback = true;
  for (const std::string& piece : pieces) {
    const auto id = static_cast<qp::token_id>(data.pieces.size());
    data.pieces.push_back(piece);
    data.scores.push_back(0.0f);
    data.kinds.push_back(piece.starts_with("<0x") ? qp::token_kind::byte
                         : piece.starts_with("<") ? qp::token_kind::control
                                                  : qp::token_kind::normal);
    if (piece == "<s>") data.bos_id = id;
    if (piece == "</s>") data.eos_id = id;
  }
  return qp::tokenizer(data);
}

}  // namespace

TEST_CASE("generate: continues a prompt of tokens", "[decoder][generate]") {
  const bigram_model model = counting(10);
  CHECK(qp::generate(model, ids{3, 4}, {.max_tokens = 4}) == ids{5, 6, 7, 8});
  // The last token is never read, so it was not shown to the model.
  CHECK(model.sequences.back() == ids{3, 4, 5, 6, 7});
  CHECK(model.contexts.back() == 5);
  CHECK(qp::generate(model, ids{3}, {.max_tokens = 0}).empty());
  CHECK(qp::generate(model, ids{8}, {.max_tokens = 3}) == ids{9, 0, 1});
}

TEST_CASE("generate: stops at end tokens unless told otherwise", "[decoder][generate]") {
  bigram_model model = counting(10);
  model.config().eos_ids = {7, 5};
  CHECK(qp::generate(model, ids{1}) == ids{2, 3, 4});
  CHECK(qp::generate(model, ids{1}, {.max_tokens = 5, .stop_at_end = false}) == ids{2, 3, 4, 5, 6});
}

TEST_CASE("generate: the callback sees tokens as they come, and may stop", "[decoder][generate]") {
  const bigram_model model = counting(10);
  ids seen;
  const auto until_five = [&](qp::token_id id) {
    seen.push_back(id);
    return id != 5;
  };
  CHECK(qp::generate(model, ids{2}, {}, until_five) == ids{3, 4, 5});
  CHECK(seen == ids{3, 4, 5});
  seen.clear();
  const auto only_look = [&](qp::token_id id) { seen.push_back(id); };
  CHECK(qp::generate(model, ids{2}, {.max_tokens = 2}, only_look) == seen);
}

TEST_CASE("generate: a full context ends the text", "[decoder][generate]") {
  const bigram_model model = counting(10, 6);
  // Six tokens are read, and the seventh is what follows them.
  CHECK(qp::generate(model, ids{0, 1, 2}) == ids{3, 4, 5, 6});
  CHECK(qp::generate(model, ids{0, 1, 2}, {.context = 4}) == ids{3, 4});
  CHECK(qp::generate(model, ids{0, 1, 2}, {.context = 3}) == ids{3});
  CHECK_THROWS_AS(qp::generate(model, ids{0, 1, 2}, {.context = 2}), qp::argument_error);
  CHECK_THROWS_AS(qp::generate(model, ids{0}, {.context = 7}), qp::argument_error);
  CHECK_THROWS_WITH(qp::generate(model, ids{}), contains("no tokens"));
  CHECK_THROWS_AS(qp::generate(model, ids{0}, {.sampling = {.top_p = 0}}), qp::argument_error);
}

TEST_CASE("generate: a text is encoded, continued and decoded", "[decoder][generate]") {
  const qp::tokenizer words = words_of({"a", "b", "c", "d", "e", "</s>"});
  const bigram_model model = counting(words.vocab_size());
  CHECK(qp::generate(model, words, "ab") == "cde");  // the tokenizer knows the end
  CHECK(qp::generate(model, words, "ab", {.max_tokens = 2}) == "cd");
  std::string seen;
  const auto until_d = [&](std::string_view part) {
    seen += part;
    return part != "d";
  };
  CHECK(qp::generate(model, words, "a", {}, until_d) == "bcd");
  CHECK(seen == "bcd");
  CHECK_THROWS_AS(qp::generate(model, words, ""), qp::argument_error);
}

TEST_CASE("generate: text comes in whole characters", "[decoder][generate]") {
  // U+00E9 and U+1F600 cut into bytes, with letters between.
  const qp::tokenizer words =
      words_of({"x", "<0xC3>", "<0xA9>", "y", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "z", "</s>"});
  const bigram_model model = counting(words.vocab_size());
  std::vector<std::string> parts;
  const auto collect = [&](std::string_view part) { parts.emplace_back(part); };
  CHECK(qp::generate(model, words, "x", {}, collect) == "\u00e9y\U0001F600z");
  CHECK(parts == std::vector<std::string>{"\u00e9", "y", "\U0001F600", "z"});
  // Cut short, what is held back comes at the end.
  parts.clear();
  CHECK(qp::generate(model, words, "y", {.max_tokens = 2}, collect) == "\xf0\x9f");
  CHECK(parts == std::vector<std::string>{"\xf0\x9f"});
}

TEST_CASE("text_stream: holds back only what can still become a character", "[decoder][generate]") {
  qp::text_stream stream;
  CHECK(stream.push("abc") == "abc");
  CHECK(stream.push("d\xe2") == "d");
  CHECK(stream.push("\x82") == "");
  CHECK(stream.push("\xac!") == "\u20ac!");
  CHECK(stream.push("\x80\x80") == "\x80\x80");  // stray bytes pass
  CHECK(stream.push("\xff") == "\xff");
  CHECK(stream.push("\xc3\xa9\xc3") == "\u00e9");
  CHECK(stream.push("z") == "\xc3z");  // not a character after all
  CHECK(stream.push("\xf0\x9f\x98") == "");
  CHECK(stream.finish() == "\xf0\x9f\x98");
  CHECK(stream.finish() == "");
}

// SPDX-License-Identifier: Apache-2.0
#include "qompose/io/tokenizer.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/random.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"

namespace {

using qompose::token_id;
using qompose::token_kind;
using qompose_tests::contains;
using ids = std::vector<token_id>;

/// Adds a piece with its score and returns its id.
token_id add(qompose::tokenizer_data& data, std::string piece, float score,
             token_kind kind = token_kind::normal) {
  data.pieces.push_back(std::move(piece));
  data.scores.push_back(score);
  data.kinds.push_back(kind);
  return static_cast<token_id>(data.pieces.size() - 1);
}

/// BPE by score over a, b, c and a space (ids 3 to 6), without byte tokens.
qompose::tokenizer_data scored() {
  qompose::tokenizer_data data;
  add(data, "<unk>", 0, token_kind::unknown);
  add(data, "<s>", 0, token_kind::control);
  add(data, "</s>", 0, token_kind::control);
  for (const char* const piece : {"a", "b", "c", " "}) add(data, piece, -10);
  data.unknown_id = 0;
  data.bos_id = 1;
  data.eos_id = 2;
  return data;
}

/// Byte-level BPE with all bytes (id = byte) and the merges given.
qompose::tokenizer_data byte_level(const std::vector<std::pair<std::string, std::string>>& merges) {
  qompose::tokenizer_data data;
  data.order = qompose::merge_order::by_rank;
  data.spelling = qompose::piece_spelling::byte_level;
  for (int byte = 0; byte < 256; ++byte)
    data.pieces.push_back(qompose::spell_bytes(std::string(1, static_cast<char>(byte))));
  for (const auto& [left, right] : merges) data.pieces.push_back(left + right);
  data.merges = merges;
  data.kinds.assign(data.pieces.size(), token_kind::normal);
  data.pre_tokenizer = *qompose::find_pre_tokenizer("gpt-2");
  return data;
}

/// What the loop of merges means, in quadratic time: the best pair, leftmost on ties.
ids merged_slowly(const qompose::tokenizer_data& data, std::string_view text) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  const auto id_of = [&](const std::string& piece) {
    for (std::size_t i = 3; i < data.pieces.size(); ++i)
      if (data.pieces[i] == piece) return static_cast<token_id>(i);
    return token_id{-1};
  };
  for (;;) {
    float best = -std::numeric_limits<float>::infinity();
    std::size_t at = parts.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const token_id id = id_of(parts[i] + parts[i + 1]);
      if (id < 0 || data.scores[static_cast<std::size_t>(id)] <= best) continue;
      best = data.scores[static_cast<std::size_t>(id)];
      at = i;
    }
    if (at == parts.size()) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  ids result;
  for (const std::string& part : parts) result.push_back(id_of(part));
  return result;
}

}  // namespace

TEST_CASE("tokenizer: the pair with the highest score merges first, the leftmost on ties",
          "[io][tokenizer]") {
  auto data = scored();
  const token_id ab = add(data, "ab", -2);
  const token_id bc = add(data, "bc", -1);
  const token_id aa = add(data, "aa", -3);
  const qompose::tokenizer tokenizer(data);
  CHECK(tokenizer.encode("abc") == ids{3, bc});
  CHECK(tokenizer.encode("ab") == ids{ab});
  CHECK(tokenizer.encode("aaa") == ids{aa, 3});
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.vocab_size() == 10);
}

TEST_CASE("tokenizer: merging with a heap equals merging by search, on seeded texts",
          "[io][tokenizer]") {
  auto data = scored();
  float score = 0;
  for (const char* const piece : {"ab", "ba", "aa", "abab", "bb", "aab", "abb", "cab", "ca", "bab",
                                  "c ", " a", "ab ", "aaaa"})
    add(data, piece, static_cast<float>(std::fmod(score += 5, 7)));
  const qompose::tokenizer tokenizer(data);
  qompose::random_source random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < round % 40; ++i) {
      const double draw = random.normal();
      text += draw < -0.5 ? 'a' : draw < 0.5 ? 'b' : draw < 1.2 ? 'c' : ' ';
    }
    INFO(text);
    REQUIRE(tokenizer.encode(text) == merged_slowly(data, text));
  }
}

TEST_CASE("tokenizer: a character without a piece becomes byte tokens, or else one unknown token",
          "[io][tokenizer]") {
  auto data = scored();
  data.byte_fallback = true;
  data.fuse_unknown = true;
  CHECK(qompose::tokenizer(data).encode("a\xc3\xa9\xe2\x82\xac"
                                        "b") == ids{3, 0, 4});
  data.fuse_unknown = false;
  CHECK(qompose::tokenizer(data).encode("a\xc3\xa9\xe2\x82\xac"
                                        "b") == ids{3, 0, 0, 4});

  const token_id first = add(data, "<0xC3>", 0, token_kind::byte);
  const token_id second = add(data, "<0xA9>", 0, token_kind::byte);
  const qompose::tokenizer tokenizer(data);
  CHECK(tokenizer.encode("a\xc3\xa9") == ids{3, first, second});
  CHECK(tokenizer.encode("\xa9"
                         "a\xff") == ids{second, 3, 0});
  CHECK(tokenizer.decode(ids{3, first, second}) == "a\xc3\xa9");
  CHECK(tokenizer.piece(first) == "\xc3");
  CHECK(tokenizer.piece(0) == "\xef\xbf\xbd");

  data.unknown_id.reset();
  CHECK(qompose::tokenizer(data).encode("a?b") == ids{3, 4});
}

TEST_CASE("tokenizer: BOS, EOS and the prepended space", "[io][tokenizer]") {
  auto data = scored();
  data.normalizer = {qompose::prepend_text{" "}};
  data.strip_first_space = true;
  data.add_bos = true;
  const qompose::tokenizer tokenizer(data);
  CHECK(tokenizer.add_bos());
  CHECK(tokenizer.bos_id() == 1);
  CHECK(tokenizer.eos_id() == 2);
  CHECK(tokenizer.is_end(2));
  CHECK_FALSE(tokenizer.is_end(1));
  CHECK(tokenizer.encode(" a") == ids{1, 6, 6, 3});
  CHECK(tokenizer.encode("") == ids{1});
  CHECK(tokenizer.encode("a", {.add_bos = false, .add_eos = true}) == ids{6, 3, 2});
  CHECK(tokenizer.decode(ids{1, 6, 6, 3, 2}) == " a");
  CHECK(tokenizer.decode(ids{1, 3, 6, 3}) == "a a");
  CHECK(tokenizer.decode(ids{1, 6, 3, 2}, {.show_control = true}) == "<s>a</s>");
  CHECK(tokenizer.piece(6) == " ");
  CHECK(tokenizer.piece(1).empty());
}

TEST_CASE("tokenizer: added tokens are found first, the longest of them, special ones on request",
          "[io][tokenizer]") {
  auto data = scored();
  const token_id turn = add(data, "<|a|>", 0, token_kind::control);
  const token_id longer = add(data, "<|a|>b", 0, token_kind::user_defined);
  const token_id stripping = add(data, "ccc", 0, token_kind::user_defined);
  data.added_tokens = {
      {turn, "<|a|>", true}, {longer, "<|a|>b", false}, {stripping, "ccc", false, true, true}};
  const qompose::tokenizer tokenizer(data);
  CHECK(tokenizer.encode("a<|a|>a") == ids{3, turn, 3});
  CHECK(tokenizer.encode("<|a|>ba") == ids{longer, 3});
  CHECK(tokenizer.encode("a \n ccc  b") == ids{3, stripping, 4});
  CHECK(tokenizer.encode("<|a|>", {.parse_special = false}) == ids{0, 0, 3, 0, 0});
  CHECK(tokenizer.find("<|a|>") == turn);
  CHECK_FALSE(tokenizer.find("<|b|>"));
  CHECK(tokenizer.decode(ids{turn, longer}) == "<|a|>b");
}

TEST_CASE("tokenizer: byte-level pieces merge by rank inside the words of the pre-tokenizer",
          "[io][tokenizer]") {
  // The fourth merge would join a word and the space after it, which are never in one word.
  auto data = byte_level({{"l", "o"}, {"\xc4\xa0", "lo"}, {"h", "e"}, {"o", "\xc4\xa0"}});
  const qompose::tokenizer tokenizer(data);
  CHECK(tokenizer.encode("helo lo") == ids{258, 256, 257});
  CHECK(tokenizer.decode(ids{258, 256, 257}) == "helo lo");
  CHECK(tokenizer.spelling(257) == "\xc4\xa0lo");
  CHECK(tokenizer.piece(257) == " lo");
}

TEST_CASE("tokenizer: a whole word that is a piece is taken before merges where the file says so",
          "[io][tokenizer]") {
  auto data = byte_level({{"a", "b"}});
  data.pieces.push_back("abc");
  data.kinds.push_back(token_kind::normal);
  CHECK(qompose::tokenizer(data).encode("abc") == ids{256, 'c'});
  data.ignore_merges = true;
  CHECK(qompose::tokenizer(data).encode("abc") == ids{257});
}

TEST_CASE("tokenizer: byte-level decoding undoes encoding for any bytes", "[io][tokenizer]") {
  auto data = byte_level({{"t", "h"}, {"th", "e"}, {"\xc4\xa0", "t"}, {"\xc3\x83", "\xc2\xa9"}});
  for (const char* const name : {"gpt-2", "llama-bpe", "qwen2", "smollm"}) {
    data.pre_tokenizer = *qompose::find_pre_tokenizer(name);
    const qompose::tokenizer tokenizer(data);
    qompose::random_source random(11);
    for (int round = 0; round < 200; ++round) {
      std::string bytes;
      for (int i = 0; i < round % 50; ++i) {
        const auto draw = static_cast<int>(std::fabs(random.normal()) * 1000);
        bytes += i % 3 == 0 ? static_cast<char>(draw & 0xff) : "the \xc3\xa9\n1"[draw % 8];
      }
      REQUIRE(tokenizer.decode(tokenizer.encode(bytes)) == bytes);
    }
  }
}

TEST_CASE("tokenizer: ids outside the vocabulary and tokens that are not there are refused",
          "[io][tokenizer]") {
  auto data = scored();
  data.bos_id.reset();
  const qompose::tokenizer tokenizer(data);
  CHECK_THROWS_AS(tokenizer.decode(ids{7}), qompose::argument_error);
  CHECK_THROWS_AS(tokenizer.decode(ids{-1}), qompose::argument_error);
  CHECK_THROWS_WITH(tokenizer.piece(99), contains("token id 99: expected 0 to 6"));
  CHECK_THROWS_AS(tokenizer.encode("a", {.add_bos = true}), qompose::argument_error);
  CHECK_FALSE(tokenizer.is_end(-5));
}

TEST_CASE("tokenizer: data that contradict each other are refused by name", "[io][tokenizer]") {
  const auto refuses = [](const std::string& message, const auto& spoil) {
    auto data = scored();
    data.name = "some file";
    spoil(data);
    CHECK_THROWS_AS(qompose::tokenizer(data), qompose::file_error);
    CHECK_THROWS_WITH(qompose::tokenizer(data), contains("some file: ") && contains(message));
  };
  refuses("no pieces", [](auto& d) { d.pieces.clear(); });
  refuses("6 scores, expected 7", [](auto& d) { d.scores.pop_back(); });
  refuses("8 token types, expected 7", [](auto& d) { d.kinds.push_back(token_kind::normal); });
  refuses("score of piece 4 is NaN", [](auto& d) { d.scores[4] = std::nanf(""); });
  refuses("BOS token 7", [](auto& d) { d.bos_id = 7; });
  refuses("EOS token -1", [](auto& d) { d.eos_id = -1; });
  refuses("unknown token 70", [](auto& d) { d.unknown_id = 70; });
  refuses("end token 8", [](auto& d) { d.end_ids = {8}; });
  refuses("added token 9", [](auto& d) { d.added_tokens = {{9, "x"}}; });
  refuses("names none", [](auto& d) {
    d.add_bos = true;
    d.bos_id.reset();
  });
  refuses("merges: \"zz\" is not a piece", [](auto& d) {
    d.order = qompose::merge_order::by_rank;
    d.merges = {{"a", "zz"}};
  });
  refuses("merges: \"ac\" is not a piece", [](auto& d) {
    d.order = qompose::merge_order::by_rank;
    d.merges = {{"a", "c"}};
  });
}

TEST_CASE("tokenizer: one long word takes no quadratic time", "[io][tokenizer]") {
  auto data = scored();
  std::string run = "a";
  for (float score = -1; run.size() < 512; --score) add(data, run += run, score);
  const qompose::tokenizer tokenizer(data);
  // A quadratic loop would take hours here.
  const std::string text(1 << 20, 'a');
  const auto found = tokenizer.encode(text);
  CHECK(found.size() == text.size() / 512);
  CHECK(tokenizer.decode(found) == text);
}

TEST_CASE("tokenizer: copies share one vocabulary and outlive the first", "[io][tokenizer]") {
  auto data = byte_level({{"a", "b"}});
  auto first = std::make_unique<qompose::tokenizer>(data);
  const qompose::tokenizer second = *first;
  CHECK(&second.piece(256) == &first->piece(256));
  first.reset();
  CHECK(second.encode("ab") == ids{256});
}

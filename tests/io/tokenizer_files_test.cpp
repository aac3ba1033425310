// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "qompose/io/tokenizer.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/gguf_writer.hpp"
#include "support/temporary_folder.hpp"

namespace {

using nlohmann::json;
using qompose::load_tokenizer;
using qompose_tests::contains;
using qompose_tests::gguf_writer;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;
using ids = std::vector<qompose::token_id>;
using strings = std::vector<std::string>;

/// A llama2.c file: pieces after the three that every file has.
std::string llama2c_file(const strings& pieces, std::int32_t longest = 8) {
  std::string file;
  const auto put = [&file](const auto& value) {
    file.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put(longest);
  strings all{"<unk>", "\n<s>\n", "\n</s>\n"};
  all.insert(all.end(), pieces.begin(), pieces.end());
  float score = 0;
  for (const std::string& piece : all) {
    put(score--);
    put(static_cast<std::int32_t>(piece.size()));
    file += piece;
  }
  return file;
}

/// GGUF metadata of a SentencePiece-style vocabulary.
gguf_writer scored_gguf() {
  gguf_writer file;
  file.set("tokenizer.ggml.model", "llama");
  file.set("tokenizer.ggml.tokens", strings{"<unk>", "<s>", "</s>", "<0x0A>", "\u2581", "a", "b",
                                            "ab", "\u2581ab", "<|im_end|>", "<user>"});
  file.set("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, 0, -9, -9, -9, -1, -2, 0, 0});
  file.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 6, 1, 1, 1, 1, 1, 3, 4});
  return file;
}

/// GGUF metadata of a byte-level vocabulary.
gguf_writer byte_level_gguf(const std::string& pre) {
  gguf_writer file;
  file.set("tokenizer.ggml.model", "gpt2");
  file.set("tokenizer.ggml.tokens", strings{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b",
                                            "\u0120", "ab", "\u0120ab", "1", "11", "<user>"});
  file.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 4});
  file.set("tokenizer.ggml.merges", strings{"a b", "\u0120 ab", "1 1"});
  file.set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  file.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  if (!pre.empty()) file.set("tokenizer.ggml.pre", pre);
  return file;
}

/// A tokenizer.json of byte-level BPE as Llama-3's is laid out.
json byte_level_json() {
  return json::parse(R"({
    "added_tokens": [
      {"id": 8, "content": "<|begin|>", "special": true},
      {"id": 9, "content": "<|eot_id|>", "special": true},
      {"id": 10, "content": "<tool>", "special": false, "lstrip": true}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": {"type": "Sequence", "processors": [
      {"type": "ByteLevel"},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
       "special_tokens": {"<|begin|>": {"id": "<|begin|>", "ids": [8], "tokens": ["<|begin|>"]}}}]},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "ignore_merges": true,
      "vocab": {"a": 0, "b": 1, "c": 2, "Ġ": 3, "ab": 4, "abc": 5, "Ã": 6, "©": 7},
      "merges": ["a b"]}})");
}

/// A tokenizer.json of BPE by characters as Llama-2's is laid out.
json metaspace_json() {
  return json::parse(R"({
    "added_tokens": [
      {"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "▁"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "pre_tokenizer": null,
    "decoder": {"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
      {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
      "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁": 3, "a": 4, "b": 5, "▁a": 6, "b▁": 7},
      "merges": [["▁", "a"], ["b", "▁"]]}})");
}

/// Loads a tokenizer.json from a folder of its own.
qompose::tokenizer load_json(const json& root) {
  const temporary_folder folder;
  write_file(folder / "tokenizer.json", root.dump());
  return load_tokenizer(folder.path());
}

qompose::tokenizer load_gguf(const gguf_writer& writer) {
  const temporary_folder folder;
  writer.write(folder / "model.gguf");
  return load_tokenizer(folder / "model.gguf");
}

}  // namespace

TEST_CASE("tokenizer: llama2.c's file", "[io][tokenizer]") {
  const temporary_folder folder;
  write_file(folder / "tokenizer.bin", llama2c_file({"<0x0A>", " a", "a", "b", " ", "ab"}));
  const qompose::tokenizer tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer.vocab_size() == 9);
  CHECK(tokenizer.encode("ab a\n") == ids{1, 4, 6, 4, 3});
  CHECK(tokenizer.encode("ab a\n", {.add_bos = false}) == ids{4, 6, 4, 3});
  CHECK(tokenizer.encode("<s>", {.add_bos = false}) == ids{7, 0});
  CHECK(tokenizer.decode(ids{1, 4, 6, 4, 3}) == "ab a\n");
  CHECK(tokenizer.is_end(2));
}

TEST_CASE("tokenizer: SentencePiece's list of pieces", "[io][tokenizer]") {
  const temporary_folder folder;
  write_file(folder / "x.vocab", "<unk>\t0\n<s>\t0\n</s>\t0\n\u2581\t-0\na\t-1\nb\t-2\n");
  const qompose::tokenizer tokenizer = load_tokenizer(folder / "x.vocab");
  CHECK(tokenizer.encode(" a  b ??\nb") == ids{1, 3, 4, 3, 5, 3, 0, 5});
  CHECK(tokenizer.decode(ids{1, 3, 4, 3, 5}) == "a b");
  write_file(folder / "y.vocab", "<unk>\t0\n<s>\n");
  CHECK_THROWS_WITH(load_tokenizer(folder / "y.vocab"), contains("y.vocab: line 2"));
}

TEST_CASE("tokenizer: a llama2.c file that is cut short anywhere is refused", "[io][tokenizer]") {
  const temporary_folder folder;
  const std::string whole = llama2c_file({"<0x0A>", "a", "bb"});
  // Cut between two tokens, a file is a smaller vocabulary; with fewer than four it is refused.
  const std::size_t sizes[] = {5, 5, 6, 6, 1, 2};
  std::vector<std::size_t> boundaries{4};
  for (const std::size_t size : sizes) boundaries.push_back(boundaries.back() + 8 + size);
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto at = std::find(boundaries.begin(), boundaries.end(), size) - boundaries.begin();
    const bool is_whole = at >= 4 && at < static_cast<std::ptrdiff_t>(boundaries.size());
    write_file(folder / "cut.bin", std::string_view(whole).substr(0, size));
    INFO(size);
    if (is_whole) {
      CHECK(load_tokenizer(folder / "cut.bin").vocab_size() == static_cast<std::size_t>(at));
    } else {
      CHECK_THROWS_AS(load_tokenizer(folder / "cut.bin"), qompose::file_error);
    }
  }
  write_file(folder / "long.bin", llama2c_file({"a"}, 3));
  CHECK_THROWS_WITH(load_tokenizer(folder / "long.bin"), contains("token 0 has length 5"));
  CHECK_THROWS_WITH(load_tokenizer(folder / "none.bin"), contains("none.bin"));
  CHECK_THROWS_WITH(load_tokenizer(folder.path()), contains("has no tokenizer.json"));
}

TEST_CASE("tokenizer: GGUF metadata of the kind llama", "[io][tokenizer]") {
  const qompose::tokenizer tokenizer = load_gguf(scored_gguf());
  CHECK(tokenizer.encode("ab\n?") == ids{1, 8, 3, 0});
  CHECK(tokenizer.encode("ab<|im_end|>ab<user>") == ids{1, 8, 9, 8, 10});
  CHECK(tokenizer.decode(ids{1, 8, 3}) == "ab\n");
  CHECK(tokenizer.decode(ids{8, 9, 10}) == "ab<user>");
  CHECK(tokenizer.bos_id() == 1);
  CHECK(tokenizer.is_end(2));
  CHECK(tokenizer.is_end(9));
  CHECK_FALSE(tokenizer.is_end(8));

  gguf_writer bare = scored_gguf();
  bare.set("tokenizer.ggml.add_bos_token", false);
  bare.set("tokenizer.ggml.add_eos_token", true);
  bare.set("tokenizer.ggml.add_space_prefix", false);
  bare.set("tokenizer.ggml.eot_token_id", std::uint32_t{10});
  const qompose::tokenizer other = load_gguf(bare);
  CHECK(other.encode("ab a") == ids{7, 4, 5, 2});
  CHECK(other.decode(ids{4, 5}) == " a");
  CHECK(other.is_end(10));
}

TEST_CASE("tokenizer: GGUF metadata of the kind gpt2", "[io][tokenizer]") {
  const qompose::tokenizer smollm = load_gguf(byte_level_gguf("smollm"));
  CHECK(smollm.encode("ab ab11<|im_end|>") == ids{6, 7, 8, 8, 2});
  CHECK(smollm.encode("a?b") == ids{3, 4});
  CHECK(smollm.decode(ids{1, 6, 7, 10}) == "ab ab<user>");
  CHECK(smollm.is_end(0));
  CHECK(smollm.is_end(2));
  CHECK_FALSE(smollm.is_end(1));
  CHECK_FALSE(smollm.bos_id());
  CHECK_FALSE(smollm.add_bos());

  CHECK(load_gguf(byte_level_gguf("")).encode("11 ab") == ids{9, 7});
  CHECK(load_gguf(byte_level_gguf("gpt-2")).encode("11 ab") == ids{9, 7});
  CHECK_THROWS_WITH(load_gguf(byte_level_gguf("llama-bpe")), contains("BOS"));
  gguf_writer llama3 = byte_level_gguf("llama-bpe");
  llama3.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  CHECK(load_gguf(llama3).encode("11 ab") == ids{1, 9, 7});
}

TEST_CASE("tokenizer: GGUF metadata that do not fit are refused by key", "[io][tokenizer]") {
  const auto refuses = [](const std::string& message, const gguf_writer& file) {
    CHECK_THROWS_AS(load_gguf(file), qompose::file_error);
    CHECK_THROWS_WITH(load_gguf(file), contains("model.gguf: ") && contains(message));
  };
  refuses("tokenizer.ggml.tokens: is missing", gguf_writer());
  refuses("tokenizer.ggml.pre: \"tekken\"", byte_level_gguf("tekken"));

  gguf_writer file;
  file.set("tokenizer.ggml.tokens", strings{"a"});
  refuses("tokenizer.ggml.model: is missing", file);
  file.set("tokenizer.ggml.model", "bert");
  refuses("tokenizer.ggml.model: \"bert\"", file);

  file = scored_gguf();
  file.set("tokenizer.ggml.bos_token_id", std::uint32_t{11});
  refuses("tokenizer.ggml.bos_token_id: 11", file);
  file = scored_gguf();
  file.set("tokenizer.ggml.add_bos_token", "yes");
  refuses("tokenizer.ggml.add_bos_token", file);

  file = gguf_writer();
  file.set("tokenizer.ggml.model", "llama");
  file.set("tokenizer.ggml.tokens", strings{"<unk>", "a"});
  refuses("tokenizer.ggml.scores: is missing", file);
  file.set("tokenizer.ggml.scores", std::vector<float>{0});
  refuses("1 scores, expected 2", file);
  file.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 7});
  refuses("tokenizer.ggml.token_type: 7", file);

  file = gguf_writer();
  file.set("tokenizer.ggml.model", "gpt2");
  file.set("tokenizer.ggml.tokens", strings{"a", "b", "ab"});
  refuses("tokenizer.ggml.merges: is missing", file);
  file.set("tokenizer.ggml.merges", strings{"a b", "ab"});
  refuses("merge \"ab\"", file);
}

TEST_CASE("tokenizer: tokenizer.json of byte-level BPE", "[io][tokenizer]") {
  const qompose::tokenizer tokenizer = load_json(byte_level_json());
  CHECK(tokenizer.vocab_size() == 11);
  CHECK(tokenizer.encode("abc ab") == ids{8, 5, 3, 4});
  CHECK(tokenizer.encode("e\u0301") == ids{8, 6, 7});  // NFC makes one character of two
  CHECK(tokenizer.encode("a <tool>b<|eot_id|>") == ids{8, 0, 10, 1, 9});
  CHECK(tokenizer.decode(ids{8, 6, 7, 10, 9}) == "\u00e9<tool>");
  CHECK(tokenizer.bos_id() == 8);
  CHECK(tokenizer.is_end(9));
}

TEST_CASE("tokenizer: tokenizer.json of BPE by characters", "[io][tokenizer]") {
  const qompose::tokenizer tokenizer = load_json(metaspace_json());
  CHECK(tokenizer.encode("ab a\n??") == ids{6, 5, 6, 2, 0});
  CHECK(tokenizer.decode(ids{6, 7, 4, 2}) == "ab a\n");
  CHECK(tokenizer.encode("a<s>a") == ids{6, 1, 6});
  CHECK_FALSE(tokenizer.add_bos());

  json newer = metaspace_json();
  newer["normalizer"] = nullptr;
  newer["pre_tokenizer"] = {{"type", "Metaspace"},
                            {"replacement", "\u2581"},
                            {"prepend_scheme", "first"},
                            {"split", true}};
  const qompose::tokenizer words = load_json(newer);
  CHECK(words.encode("ab a") == ids{6, 5, 6});
  CHECK(words.encode("a<s>a") == ids{6, 1, 4});
}

TEST_CASE("tokenizer: configurations beside a tokenizer.json", "[io][tokenizer]") {
  const temporary_folder folder;
  write_file(folder / "tokenizer.json", metaspace_json().dump());
  write_file(folder / "tokenizer_config.json",
             R"({"add_bos_token": true, "bos_token": {"content": "<s>"}, "eos_token": "b"})");
  write_file(folder / "generation_config.json", R"({"eos_token_id": [2, 3]})");
  write_file(folder / "config.json", R"({"bos_token_id": 4, "eos_token_id": 4})");
  const qompose::tokenizer tokenizer = load_tokenizer(folder / "tokenizer.json");
  CHECK(tokenizer.encode("a") == ids{1, 6});
  CHECK(tokenizer.eos_id() == 5);
  for (const qompose::token_id id : {2, 3, 4, 5}) CHECK(tokenizer.is_end(id));
  CHECK_FALSE(tokenizer.is_end(1));

  write_file(folder / "tokenizer_config.json", R"({"bos_token": "<none>"})");
  CHECK_THROWS_WITH(load_tokenizer(folder.path()), contains("bos_token"));
  write_file(folder / "tokenizer_config.json", R"({"add_bos_token": "yes"})");
  CHECK_THROWS_WITH(load_tokenizer(folder.path()), contains("tokenizer_config.json"));
}

TEST_CASE("tokenizer: a tokenizer.json that is broken or needs more is refused by part",
          "[io][tokenizer]") {
  const auto refuses = [](const std::string& message, const auto& spoil) {
    json root = byte_level_json();
    spoil(root);
    CHECK_THROWS_AS(load_json(root), qompose::file_error);
    CHECK_THROWS_WITH(load_json(root), contains("tokenizer.json: ") && contains(message));
  };
  refuses("no \"model\"", [](json& r) { r = json::array(); });
  refuses("Unigram", [](json& r) { r["model"]["type"] = "Unigram"; });
  refuses("end_of_word_suffix", [](json& r) { r["model"]["end_of_word_suffix"] = "</w>"; });
  refuses("no \"vocab\"", [](json& r) { r["model"]["vocab"] = json::object(); });
  refuses("id of piece \"a\"", [](json& r) { r["model"]["vocab"]["a"] = 4000000000u; });
  refuses("id of piece \"a\"", [](json& r) { r["model"]["vocab"]["a"] = -1; });
  refuses("id of piece \"a\"", [](json& r) { r["model"]["vocab"]["a"] = "0"; });
  refuses("id 4 has two pieces", [](json& r) { r["model"]["vocab"]["a"] = 4; });
  refuses("expected two pieces", [](json& r) { r["model"]["merges"] = {"ab"}; });
  refuses("expected two pieces", [](json& r) { r["model"]["merges"] = {{1, 2, 3}}; });
  refuses("\"x\" is not a piece", [](json& r) { r["model"]["merges"] = {"x a"}; });
  refuses("unk_token", [](json& r) { r["model"]["unk_token"] = "?"; });
  refuses("is that of piece", [](json& r) { r["added_tokens"][0]["id"] = 1; });
  refuses("id 99999", [](json& r) { r["added_tokens"][0]["id"] = 99999; });
  refuses("single_word", [](json& r) { r["added_tokens"][0]["single_word"] = true; });
  refuses("normalizer of type Lowercase", [](json& r) { r["normalizer"]["type"] = "Lowercase"; });
  refuses("pre_tokenizer of type Punctuation",
          [](json& r) { r["pre_tokenizer"] = {{"type", "Punctuation"}}; });
  refuses("after ByteLevel",
          [](json& r) { r["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}}); });
  refuses("behavior Shredded",
          [](json& r) { r["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Shredded"; });
  refuses("post_processor of type BertProcessing",
          [](json& r) { r["post_processor"] = {{"type", "BertProcessing"}}; });
  refuses("decoder: this WordPiece", [](json& r) { r["decoder"] = {{"type", "WordPiece"}}; });
  refuses("BOS token 77", [](json& r) {
    r["post_processor"]["processors"][1]["special_tokens"]["<|begin|>"]["ids"] = {77};
  });
  refuses("a replacement of 1000 bytes", [](json& r) {
    r["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(1000, 'a')}};
  });
}

TEST_CASE("tokenizer: tokenizer files with a byte changed load or are refused, never more",
          "[io][tokenizer]") {
  const temporary_folder folder;
  const auto spoil = [&](const char* name, const std::string& sound) {
    const std::filesystem::path path = folder / name;
    constexpr std::string_view changes("\0\x7f\xff\"9", 5);
    for (std::size_t i = 0; i < sound.size(); ++i) {
      std::string file = sound;
      file[i] = changes[i % changes.size()];
      write_file(path, file);
      try {
        const qompose::tokenizer tokenizer = load_tokenizer(path);
        const auto found = tokenizer.encode("ab <s> \xc3\xa9\xff 11\n");
        tokenizer.decode(found);
      } catch (const qompose::error&) {
        continue;
      }
    }
  };
  spoil("t.bin", llama2c_file({"<0x0A>", " a", "a", "b", "ab"}));
  spoil("t.json", metaspace_json().dump());
  const auto bytes = scored_gguf().bytes();
  spoil("t.gguf", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

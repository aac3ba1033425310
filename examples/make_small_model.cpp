// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Writes a small model of the Llama family with a tokenizer: seeded weights that nobody
///        trained, for tests and for demonstrations without a network.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "support/gguf_writer.hpp"
#include "support/small_model.hpp"

namespace {

using qompose_tests::gguf_writer;
using qompose_tests::small_model;

/// The numbers that GGUF gives to kinds of tokens.
enum token_type : std::int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };

/// A SentencePiece vocabulary: three special tokens, all bytes, letters, and some common pieces,
/// which are merged in the order in which they are listed. U+2581 stands for a space.
struct vocabulary {
  std::vector<std::string> pieces;
  std::vector<float> scores;
  std::vector<std::int32_t> types;

  vocabulary() {
    add("<unk>", unknown);
    add("<s>", control);
    add("</s>", control);
    for (int value = 0; value < 256; ++value) {
      char spelled[8];
      std::snprintf(spelled, sizeof spelled, "<0x%02X>", static_cast<unsigned>(value));
      add(spelled, byte);
    }
    const std::string space = "\u2581";
    add(space, normal);
    for (char letter = 'a'; letter <= 'z'; ++letter) add(std::string(1, letter), normal);
    for (const char* pair : {"th", "he", "in", "er", "an", "re", "on", "at", "en", "nd", "ed", "or",
                             "es", "st", "ing", "the", "and"}) {
      add(pair, normal);
    }
    for (const char* word : {"t", "a", "s", "w", "o", "the", "b", "c", "and", "h", "f", "m", "he",
                             "d", "p", "in", "re"}) {
      add(space + word, normal);
    }
  }

  void add(const std::string& piece, token_type type) {
    // Of two possible merges the one with the higher score comes first.
    scores.push_back(type == normal ? -static_cast<float>(pieces.size()) : 0.0f);
    pieces.push_back(piece);
    types.push_back(type);
  }
};

void write_model(const char* path) {
  const vocabulary words;
  small_model model;
  model.dim = 64;
  model.hidden_dim = 172;
  model.n_layers = 4;
  model.n_heads = 8;
  model.n_kv_heads = 4;
  model.head_dim = 8;
  model.vocab_size = words.pieces.size();
  model.seq_len = 512;
  model.seed = 1871;

  gguf_writer writer = qompose_tests::small_gguf(model);
  writer.set("general.name", "seeded small model");
  writer.set("tokenizer.ggml.model", "llama");
  writer.set("tokenizer.ggml.tokens", words.pieces);
  writer.set("tokenizer.ggml.scores", words.scores);
  writer.set("tokenizer.ggml.token_type", words.types);
  writer.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  writer.set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  writer.set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  writer.set("tokenizer.ggml.add_bos_token", true);
  writer.write(path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: make_small_model FILE\n", stderr);
    return 2;
  }
  try {
    write_model(argv[1]);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "make_small_model: %s\n", failure.what());
    return 2;
  }
}

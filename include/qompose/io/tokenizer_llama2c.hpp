// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Vocabularies without metadata: llama2.c's `tokenizer.bin` and SentencePiece's `.vocab`.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/tokenizer_data.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// What both formats leave unsaid: 0 is the unknown token, 1 BOS, 2 EOS, a space comes first.
///
/// No spelling of a control token is looked for in a text: neither format has one.
/// @param data has its pieces already
/// @throws qompose::file_error if there are fewer than four pieces
inline void complete_sentencepiece_vocabulary(tokenizer_data& data) {
  if (data.pieces.size() < 4)
    throw file_error(data.name + ": " + std::to_string(data.pieces.size()) +
                     " pieces, expected at least 4");
  data.pieces[1] = "<s>";
  data.pieces[2] = "</s>";
  data.kinds.assign(data.pieces.size(), token_kind::normal);
  data.kinds[0] = token_kind::unknown;
  data.kinds[1] = data.kinds[2] = token_kind::control;
  for (std::size_t i = 3; i < data.pieces.size(); ++i)
    if (spelled_byte(data.pieces[i])) data.kinds[i] = token_kind::byte;

  data.order = merge_order::by_score;
  data.byte_fallback = true;
  data.fuse_unknown = true;
  data.unknown_id = 0;
  data.bos_id = 1;
  data.eos_id = 2;
  data.add_bos = true;
  data.strip_first_space = true;
}

/// Reads llama2.c's `tokenizer.bin`: the longest piece's length (int32), then for each token a
/// score (float), a length (int32) and that many bytes, to the end of the file.
/// @throws qompose::file_error if the file is cut short or a length is impossible
/// @par Source https://github.com/karpathy/llama2.c, tokenizer.py
inline tokenizer_data read_llama2c_tokenizer(const std::filesystem::path& path) {
  const mapped_file file(path);
  std::span<const std::byte> rest = file.bytes();
  tokenizer_data data;
  data.name = path.string();

  const auto take = [&](void* to, std::size_t size, const char* what) {
    if (size > rest.size())
      throw file_error(data.name + ": " + what + " of token " + std::to_string(data.pieces.size()) +
                       " needs " + std::to_string(size) + " bytes, but only " +
                       std::to_string(rest.size()) + " are left");
    std::memcpy(to, rest.data(), size);
    rest = rest.subspan(size);
  };
  std::int32_t longest = 0;
  take(&longest, sizeof longest, "longest length");
  while (!rest.empty()) {
    float score = 0;
    std::int32_t size = 0;
    take(&score, sizeof score, "score");
    take(&size, sizeof size, "length");
    if (size < 0 || size > longest || static_cast<std::size_t>(size) > rest.size())
      throw file_error(data.name + ": token " + std::to_string(data.pieces.size()) +
                       " has length " + std::to_string(size) + ", expected 0 to " +
                       std::to_string(longest) + "; is this a llama2.c tokenizer?");
    std::string piece(static_cast<std::size_t>(size), '\0');
    if (size > 0) take(piece.data(), piece.size(), "bytes");
    data.pieces.push_back(std::move(piece));
    data.scores.push_back(score);
  }
  complete_sentencepiece_vocabulary(data);
  data.spelling = piece_spelling::plain;
  data.normalizer = {prepend_text{" "}};
  return data;
}

/// Reads the `.vocab` file that SentencePiece writes beside its model: a piece, a tab and a score
/// on each line; the id is the number of the line, from 0.
///
/// The file does not say how the model rewrites a text. SentencePiece's defaults are assumed:
/// spaces are collapsed and one is put first.
/// @throws qompose::file_error naming the line that has no tab or no score
inline tokenizer_data read_sentencepiece_vocab(const std::filesystem::path& path) {
  const mapped_file file(path);
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  tokenizer_data data;
  data.name = path.string();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t tab = line.rfind('\t');
    char* parsed = nullptr;
    const char* const number = tab == std::string::npos ? "" : line.c_str() + tab + 1;
    const float score = std::strtof(number, &parsed);
    if (parsed == number)
      throw file_error(data.name + ": line " + std::to_string(data.pieces.size() + 1) +
                       ": expected a piece, a tab and a score");
    data.pieces.push_back(line.substr(0, tab));
    data.scores.push_back(score);
  }
  complete_sentencepiece_vocabulary(data);
  data.spelling = piece_spelling::metaspace;
  data.normalizer = {collapse_spaces{}, prepend_text{" "}, replace_text{" ", metaspace}};
  return data;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

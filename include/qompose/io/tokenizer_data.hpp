// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a tokenizer file says, whatever its format: the plain data behind a tokenizer.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/token.hpp"
#include "qompose/io/pre_tokenizer.hpp"
#include "qompose/io/text_normalizer.hpp"

namespace qompose {

/// What a token is for; the numbers are those of GGUF.
enum class token_kind : std::uint8_t {
  normal = 1,        ///< a piece of text
  unknown = 2,       ///< stands for characters that no piece covers
  control = 3,       ///< begin, end, role markers: no text
  user_defined = 4,  ///< found in a text before anything else is done
  unused = 5,        ///< never produced
  byte = 6           ///< `<0x00>` .. `<0xFF>`, one byte each
};

/// How a file spells the text of a normal piece.
enum class piece_spelling {
  plain,      ///< as it is
  metaspace,  ///< U+2581 stands for a space
  byte_level  ///< each byte is a character of @ref byte_level_alphabet
};

/// Which adjacent pair BPE merges first.
enum class merge_order {
  by_score,  ///< the pair whose joined piece has the highest score (SentencePiece)
  by_rank    ///< the pair that comes first in the list of merges (GPT-2)
};

/// A token that is looked for in the text as it stands, before it is rewritten and cut.
struct added_token {
  token_id id = 0;           ///< its number
  std::string text;          ///< its spelling in the text; not empty
  bool special = false;      ///< only found where the caller asks for special tokens
  bool strip_left = false;   ///< swallows the white space before it
  bool strip_right = false;  ///< swallows the white space after it
};

/// All that defines a tokenizer. Readers fill it in; @ref qompose::tokenizer checks and runs it.
struct tokenizer_data {
  std::string name = "tokenizer";  ///< file name for messages

  std::vector<std::string> pieces;                  ///< spelling of each token, by id
  std::vector<token_kind> kinds;                    ///< one per piece
  piece_spelling spelling = piece_spelling::plain;  ///< of normal pieces

  merge_order order = merge_order::by_score;                ///< which of the next two is used
  std::vector<float> scores;                                ///< one per piece, for `by_score`
  std::vector<std::pair<std::string, std::string>> merges;  ///< spellings, for `by_rank`

  bool byte_fallback = false;          ///< characters without a piece become byte tokens
  bool fuse_unknown = false;           ///< a run of unknown characters is one unknown token
  bool ignore_merges = false;          ///< a word that is a piece is that piece, merges or not
  std::optional<token_id> unknown_id;  ///< without it, unknown characters are dropped

  std::vector<added_token> added_tokens;    ///< looked for first, the longest where several fit
  std::vector<normalizer_step> normalizer;  ///< then the text between them is rewritten
  split_steps pre_tokenizer;                ///< then cut into words
  bool strip_first_space = false;           ///< decoding drops the space that encoding prepends

  std::optional<token_id> bos_id;  ///< begin of sequence
  std::optional<token_id> eos_id;  ///< end of sequence
  std::vector<token_id> end_ids;   ///< tokens that end a generation; `eos_id` is one anyway
  bool add_bos = false;            ///< encoding puts `bos_id` first
  bool add_eos = false;            ///< encoding puts `eos_id` last
};

/// The character that stands for a space in SentencePiece's pieces, in UTF-8.
inline constexpr const char* metaspace = "\xe2\x96\x81";

inline namespace QOMPOSE_ISA {

/// The byte that `<0x41>` and its like spell; nothing for any other piece.
inline std::optional<std::uint8_t> spelled_byte(const std::string& piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char digit : piece.substr(3, 2)) {
    const std::size_t found = std::string_view("0123456789ABCDEF0123456789abcdef").find(digit);
    if (found == std::string_view::npos) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(found % 16);
  }
  return static_cast<std::uint8_t>(value);
}

/// Whether a control token of this spelling ends a generation in the models that have it.
inline bool ends_generation(std::string_view spelling) {
  constexpr std::string_view known[] = {"</s>",       "<|im_end|>", "<|endoftext|>",
                                        "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"};
  return std::find(std::begin(known), std::end(known), spelling) != std::end(known);
}

/// Cuts a merge, "left right", at its space.
/// @param line the two pieces
/// @param where names the list in messages
/// @throws qompose::file_error unless there are two parts
inline std::pair<std::string, std::string> split_merge(std::string_view line,
                                                       const std::string& where) {
  const std::size_t space = line.find(' ', 1);
  if (line.empty() || space == std::string_view::npos || space + 1 == line.size())
    throw file_error(where + ": merge \"" + std::string(line) + "\", expected two pieces");
  return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Text to tokens and back.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "qompose/core/error.hpp"
#include "qompose/core/token.hpp"
#include "qompose/io/added_tokens.hpp"
#include "qompose/io/bpe_model.hpp"
#include "qompose/io/byte_level_alphabet.hpp"
#include "qompose/io/pre_tokenizer.hpp"
#include "qompose/io/text_normalizer.hpp"
#include "qompose/io/tokenizer_data.hpp"
#include "qompose/io/tokenizer_gguf.hpp"
#include "qompose/io/tokenizer_json.hpp"
#include "qompose/io/tokenizer_llama2c.hpp"

namespace qompose {

/// How to encode a text.
struct encode_options {
  std::optional<bool> add_bos = std::nullopt;  ///< put BOS first; default: what the file says
  std::optional<bool> add_eos = std::nullopt;  ///< put EOS last; default: what the file says
  bool parse_special = true;  ///< take `<|im_end|>` and its like for tokens rather than text
};

/// How to decode tokens.
struct decode_options {
  bool show_control = false;  ///< spell control tokens out; otherwise they are left out
};

/// A BPE tokenizer, by score (SentencePiece) or by rank (GPT-2, Llama-3, Qwen2 and others).
///
/// Immutable: copies share one vocabulary, and threads may encode at once.
///
/// Encoding looks for added tokens in the text as it stands, rewrites what lies between them,
/// cuts it into words, and merges inside each word. Any bytes may be encoded. A byte that is not
/// UTF-8 is a symbol of its own: with byte-level pieces or with byte tokens it becomes the token
/// of that byte. Byte-level encoding without a normalizer is undone by decoding exactly, as long as
/// the vocabulary has a piece for every byte; a byte that has none is dropped.
///
/// Where words are cut depends on Unicode properties: characters that are newer than the installed
/// PCRE2 count as neither letters nor digits.
class tokenizer {
 public:
  /// Checks the data and builds the indices.
  /// @param data what a file said
  /// @throws qompose::file_error naming the file if the data contradict each other
  explicit tokenizer(tokenizer_data data)
      : state_(std::make_shared<const state>(std::move(data))) {}

  /// Text to tokens.
  /// @param text any bytes
  /// @param options special tokens, BOS and EOS
  /// @return ids, each in 0 .. vocab_size() - 1
  /// @throws qompose::argument_error if BOS or EOS is asked for and the file has none, or if the
  ///   file's pattern takes too much work on this text
  /// @par Cost O(n log n) in the bytes of the longest word, O(n) in the number of words
  std::vector<token_id> encode(std::string_view text, encode_options options = {}) const {
    const tokenizer_data& data = state_->data;
    std::vector<token_id> ids;
    if (options.add_bos.value_or(data.add_bos)) ids.push_back(required(data.bos_id, "BOS"));

    encoding_run run(*state_);
    std::size_t begin = 0;
    while (const auto found = state_->finder.find(text, begin, options.parse_special)) {
      run.encode(text.substr(begin, found->range.begin - begin), begin == 0, ids);
      ids.push_back(found->id);
      begin = found->range.end;
    }
    run.encode(text.substr(begin), begin == 0, ids);

    if (options.add_eos.value_or(data.add_eos)) ids.push_back(required(data.eos_id, "EOS"));
    return ids;
  }

  /// Tokens to text.
  ///
  /// Where the file says that encoding prepends a space, the first space of the text is dropped.
  /// @param ids any tokens of the vocabulary
  /// @param options whether control tokens are spelled out
  /// @return bytes; not UTF-8 where the tokens cut or break a character
  /// @throws qompose::argument_error if an id is outside the vocabulary
  std::string decode(std::span<const token_id> ids, decode_options options = {}) const {
    std::string text;
    bool at_start = state_->data.strip_first_space;
    for (const token_id id : ids) {
      const std::string& bytes = piece(id);
      if (options.show_control && kind(id) == token_kind::control) {
        text += spelling(id);
      } else if (!bytes.empty()) {
        text.append(bytes, at_start && bytes.front() == ' ' ? 1 : 0, std::string::npos);
        at_start = false;
      }
    }
    return text;
  }

  /// Bytes that one token stands for, to print tokens as they come; may be part of a character.
  ///
  /// Control and unused tokens stand for nothing, the unknown token for U+FFFD.
  /// @param id a token of the vocabulary
  /// @return valid as long as any copy of this tokenizer
  /// @throws qompose::argument_error if the id is outside the vocabulary
  const std::string& piece(token_id id) const { return state_->texts[checked(id)]; }

  /// The token as the file spells it, such as `<|im_end|>`, or byte-level pieces in their alphabet.
  /// @throws qompose::argument_error if the id is outside the vocabulary
  const std::string& spelling(token_id id) const { return state_->data.pieces[checked(id)]; }

  /// What the token is for.
  /// @throws qompose::argument_error if the id is outside the vocabulary
  token_kind kind(token_id id) const { return state_->data.kinds[checked(id)]; }

  /// The token that the file spells so, if there is one.
  std::optional<token_id> find(std::string_view spelled) const {
    const auto& pieces = state_->data.pieces;
    const auto found = std::find(pieces.begin(), pieces.end(), spelled);
    if (found == pieces.end()) return std::nullopt;
    return static_cast<token_id>(found - pieces.begin());
  }

  /// Number of tokens.
  std::size_t vocab_size() const noexcept { return state_->data.pieces.size(); }

  /// Begin of sequence, if the file names it.
  std::optional<token_id> bos_id() const noexcept { return state_->data.bos_id; }

  /// End of sequence, if the file names it.
  std::optional<token_id> eos_id() const noexcept { return state_->data.eos_id; }

  /// Whether a generation ends at this token: end of sequence, or end of a turn.
  bool is_end(token_id id) const noexcept {
    const auto& ends = state_->data.end_ids;
    return std::find(ends.begin(), ends.end(), id) != ends.end() || state_->data.eos_id == id;
  }

  /// Whether encoding puts BOS first unless told otherwise.
  bool add_bos() const noexcept { return state_->data.add_bos; }

 private:
  struct state {
    explicit state(tokenizer_data read)
        : data(checked(std::move(read))),
          texts(texts_of(data)),
          finder(data.added_tokens),
          model(data, texts) {}
    // The model holds addresses of its neighbours.
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    tokenizer_data data;
    std::vector<std::string> texts;
    added_token_finder finder;
    bpe_model model;
  };

  /// The working memory of one call of encode().
  class encoding_run {
   public:
    explicit encoding_run(const state& shared)
        : shared_(&shared), splitter_(shared.data.pre_tokenizer) {}

    void encode(std::string_view text, bool at_start, std::vector<token_id>& ids) {
      if (text.empty()) return;
      if (!shared_->data.normalizer.empty())
        text = rewritten_.emplace_back(normalize(shared_->data.normalizer, text, at_start));
      splitter_.split(text, words_);
      for (const std::string_view word : words_) encode_word(word, ids);
    }

   private:
    struct known_word {
      std::size_t first, count;  // in known_ids_
    };

    /// Most words of a text are repeated, so their tokens are kept.
    void encode_word(std::string_view word, std::vector<token_id>& ids) {
      constexpr std::size_t longest_kept = 64;
      if (word.size() > longest_kept) return shared_->model.encode(word, work_, ids);
      const auto [entry, is_new] = known_.try_emplace(word);
      if (is_new) {
        entry->second.first = known_ids_.size();
        shared_->model.encode(word, work_, known_ids_);
        entry->second.count = known_ids_.size() - entry->second.first;
      }
      const auto first = known_ids_.begin() + static_cast<std::ptrdiff_t>(entry->second.first);
      ids.insert(ids.end(), first, first + static_cast<std::ptrdiff_t>(entry->second.count));
    }

    const state* shared_;
    text_splitter splitter_;
    bpe_model::workspace work_;
    std::deque<std::string> rewritten_;  // kept to the end: words are views of it
    std::vector<std::string_view> words_;
    std::unordered_map<std::string_view, known_word> known_;
    std::vector<token_id> known_ids_;
  };

  static tokenizer_data checked(tokenizer_data data) {
    const std::size_t n = data.pieces.size();
    const auto fail = [&data](const std::string& what) {
      throw file_error(data.name + ": " + what);
    };
    const auto counts = [&](const char* what, std::size_t got) {
      if (got != n)
        fail(std::to_string(got) + ' ' + what + ", expected " + std::to_string(n) +
             ", one for each piece");
    };
    const auto in_range = [&](const char* what, std::optional<token_id> id) {
      if (id && (*id < 0 || static_cast<std::size_t>(*id) >= n))
        fail(std::string(what) + " " + std::to_string(*id) + ", expected 0 to " +
             std::to_string(n - 1));
    };
    if (n == 0) fail("no pieces");
    if (n > 0x7fff'ffff) fail("more than 2^31 - 1 pieces");
    counts("token types", data.kinds.size());
    if (data.order == merge_order::by_score) {
      counts("scores", data.scores.size());
      for (std::size_t i = 0; i < n; ++i)
        if (std::isnan(data.scores[i])) fail("score of piece " + std::to_string(i) + " is NaN");
    }
    in_range("unknown token", data.unknown_id);
    in_range("BOS token", data.bos_id);
    in_range("EOS token", data.eos_id);
    for (const token_id id : data.end_ids) in_range("end token", id);
    for (const added_token& token : data.added_tokens) in_range("added token", token.id);
    if (data.add_bos && !data.bos_id) fail("asks for a BOS token but names none");
    if (data.add_eos && !data.eos_id) fail("asks for an EOS token but names none");
    return data;
  }

  static std::vector<std::string> texts_of(const tokenizer_data& data) {
    std::vector<std::string> texts;
    texts.reserve(data.pieces.size());
    for (std::size_t i = 0; i < data.pieces.size(); ++i)
      texts.push_back(text_of(data.pieces[i], data.kinds[i], data.spelling));
    return texts;
  }

  static std::string text_of(const std::string& piece, token_kind kind, piece_spelling spelling) {
    const bool byte_level = spelling == piece_spelling::byte_level;
    if (kind == token_kind::control || kind == token_kind::unused) return {};
    if (kind == token_kind::unknown) return "\xef\xbf\xbd";
    if (kind == token_kind::byte && !byte_level) {
      if (const auto byte = spelled_byte(piece)) return std::string(1, static_cast<char>(*byte));
    }
    if (byte_level) return kind == token_kind::user_defined ? piece : unspell_bytes(piece);
    return spelling == piece_spelling::plain ? piece
                                             : normalized(replace_text{metaspace, " "}, piece);
  }

  std::size_t checked(token_id id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= vocab_size())
      throw argument_error("token id " + std::to_string(id) + ": expected 0 to " +
                           std::to_string(vocab_size() - 1));
    return static_cast<std::size_t>(id);
  }

  token_id required(std::optional<token_id> id, const char* what) const {
    if (!id) throw argument_error(state_->data.name + ": has no " + what + " token to add");
    return *id;
  }

  std::shared_ptr<const state> state_;
};

inline namespace QOMPOSE_ISA {

/// Whether a file begins like a GGUF file.
inline bool is_gguf(const std::filesystem::path& path) {
  const mapped_file file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0;
}

/// Reads what a file or folder says about its tokenizer; see @ref load_tokenizer.
inline tokenizer_data read_tokenizer(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;  // what cannot be looked at is reported when it is opened
  if (fs::is_directory(path, ignored)) {
    const auto has = [&](const char* name) { return fs::exists(path / name, ignored); };
    if (has("tokenizer.json")) return read_tokenizer_json(path / "tokenizer.json");
    if (has("vocab.json") && has("merges.txt"))
      return read_vocab_and_merges(path / "vocab.json", path / "merges.txt");
    if (has("tokenizer.bin")) return read_llama2c_tokenizer(path / "tokenizer.bin");
    throw file_error(path.string() +
                     ": has no tokenizer.json, no vocab.json with merges.txt, no tokenizer.bin");
  }
  const fs::path extension = path.extension();
  if (extension == ".json") return read_tokenizer_json(path);
  if (extension == ".vocab") return read_sentencepiece_vocab(path);
  if (extension != ".gguf" && !is_gguf(path)) return read_llama2c_tokenizer(path);
  try {
    tokenizer_data data = read_gguf_tokenizer(gguf_file(path).metadata());
    data.name = path.string() + ": " + data.name;
    return data;
  } catch (const file_error& e) {
    const std::string message = e.what();
    throw file_error(message.starts_with(path.string()) ? message : path.string() + ": " + message);
  }
}

/// Loads a tokenizer.
/// @param path a GGUF file with a tokenizer; a `tokenizer.json` (the configurations beside it are
///   read as well); a folder that holds one, or `vocab.json` and `merges.txt`, or `tokenizer.bin`;
///   SentencePiece's list `*.vocab`; any other file is taken for llama2.c's `tokenizer.bin`
/// @throws qompose::file_error naming the file and what is wrong with it
inline tokenizer load_tokenizer(const std::filesystem::path& path) {
  return tokenizer(read_tokenizer(path));
}

}  // namespace QOMPOSE_ISA

}  // namespace qompose

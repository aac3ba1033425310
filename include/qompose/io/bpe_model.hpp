// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Byte-pair encoding of one word: the best adjacent pair is merged until none is left.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "qompose/core/error.hpp"
#include "qompose/core/token.hpp"
#include "qompose/io/byte_level_alphabet.hpp"
#include "qompose/io/tokenizer_data.hpp"
#include "qompose/io/utf8.hpp"

namespace qompose {

/// The pieces of a tokenizer and the order in which they merge.
///
/// Scores are turned into ranks when the model is built, equal scores into equal ranks, so that
/// both kinds of BPE run through one loop: lowest rank first, leftmost on ties. A heap of
/// candidate pairs over a linked list of symbols makes it O(n log n) in the length of the word.
///
/// @par Source Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units",
///   ACL 2016, arXiv:1508.07909; Kudo and Richardson, "SentencePiece", EMNLP 2018,
///   arXiv:1808.06226
class bpe_model {
 public:
  /// Buffers that are reused from one word to the next; one per thread.
  class workspace {
    friend class bpe_model;
    struct symbol {
      std::uint32_t begin, size;     // bytes of the word; size 0 once merged into its neighbour
      std::uint32_t previous, next;  // neighbours, `none` at the ends
      token_id id;
    };
    struct candidate {
      std::uint32_t rank, left, right, size;  // size: of both symbols when the pair was found
      token_id id;
      bool operator>(const candidate& other) const {
        return rank != other.rank ? rank > other.rank : left > other.left;
      }
    };
    std::vector<symbol> symbols;
    std::vector<candidate> heap;
  };

  /// Indexes the pieces.
  /// @param data must outlive this, at the same address; its sizes and ids are checked already
  /// @param texts the bytes that each piece stands for; must outlive this as well
  /// @throws qompose::file_error if a merge names a piece that is not there
  bpe_model(const tokenizer_data& data, const std::vector<std::string>& texts) : data_(&data) {
    index_pieces(texts);
    if (data.order == merge_order::by_score) {
      rank_scores();
    } else {
      index_merges();
    }
  }

  /// Encodes a word.
  /// @param word any bytes, less than 4 GiB
  /// @param work reused buffers
  /// @param ids receives the tokens at its end
  void encode(std::string_view word, workspace& work, std::vector<token_id>& ids) const {
    if (word.size() >= none) throw argument_error("text: a word of 4 GiB or more");
    if (data_->ignore_merges) {
      const auto whole = by_text_.find(word);
      if (whole != by_text_.end()) {
        ids.push_back(whole->second);
        return;
      }
    }
    cut(word, work);
    merge(word, work);
    for (const auto& symbol : work.symbols)
      if (symbol.size != 0) ids.push_back(symbol.id);
  }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  struct merged {
    std::uint32_t rank;
    token_id id;
  };

  bool is_byte_level() const { return data_->spelling == piece_spelling::byte_level; }

  void index_pieces(const std::vector<std::string>& texts) {
    byte_ids_.fill(-1);
    for (std::size_t i = 0; i < data_->pieces.size(); ++i) {
      const std::string& piece = data_->pieces[i];
      const auto id = static_cast<token_id>(i);
      const token_kind kind = data_->kinds[i];
      if (kind == token_kind::byte && !is_byte_level()) {
        if (const auto byte = spelled_byte(piece)) byte_ids_[*byte] = id;
      }
      // In SentencePiece's files the longer runs of spaces are user-defined yet merged like others.
      const bool mergeable =
          kind == token_kind::normal || (kind == token_kind::user_defined && !is_byte_level());
      if (!mergeable || piece.empty()) continue;
      longest_ = std::max(longest_, piece.size());
      by_text_.emplace(is_byte_level() ? texts[i] : piece, id);
      const utf8_character character = front_character(piece);
      const auto byte = byte_alphabet.byte(character.code_point);
      if (is_byte_level() && byte && character.size == piece.size()) byte_ids_[*byte] = id;
    }
  }

  void rank_scores() {
    std::vector<float> ordered(data_->scores);
    std::sort(ordered.begin(), ordered.end(), std::greater<>());
    ordered.erase(std::unique(ordered.begin(), ordered.end()), ordered.end());
    ranks_.reserve(data_->scores.size());
    for (const float score : data_->scores) {
      const auto at = std::lower_bound(ordered.begin(), ordered.end(), score, std::greater<>());
      ranks_.push_back(static_cast<std::uint32_t>(at - ordered.begin()));
    }
  }

  void index_merges() {
    std::unordered_map<std::string_view, token_id> by_spelling;
    for (std::size_t i = 0; i < data_->pieces.size(); ++i)
      by_spelling.emplace(data_->pieces[i], static_cast<token_id>(i));
    const auto id_of = [&](const std::string& piece) {
      const auto found = by_spelling.find(piece);
      if (found == by_spelling.end())
        throw file_error(data_->name + ": merges: \"" + piece + "\" is not a piece");
      return found->second;
    };
    pairs_.reserve(data_->merges.size());
    for (std::size_t rank = 0; rank < data_->merges.size(); ++rank) {
      const auto& [left, right] = data_->merges[rank];
      const token_id left_id = id_of(left);
      const token_id right_id = id_of(right);
      pairs_.emplace(pair_key(left_id, right_id),
                     merged{static_cast<std::uint32_t>(rank), id_of(left + right)});
    }
  }

  static std::uint64_t pair_key(token_id left, token_id right) {
    return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
  }

  /// Cuts a word into bytes or characters.
  void cut(std::string_view word, workspace& work) const {
    work.symbols.clear();
    bool after_unknown = false;
    for (std::size_t at = 0; at < word.size();) {
      std::size_t size = 1;
      if (!is_byte_level()) size = std::max<std::size_t>(1, front_character(word.substr(at)).size);
      const std::string_view unit = word.substr(at, size);
      const bool known = is_byte_level() ? cut_byte(unit, at, work) : cut_character(unit, at, work);
      if (!known && data_->unknown_id) {
        if (after_unknown && data_->fuse_unknown) {
          work.symbols.back().size += static_cast<std::uint32_t>(size);
        } else {
          push(*data_->unknown_id, at, size, work);
        }
      }
      after_unknown = !known;
      at += size;
    }
    if (!work.symbols.empty()) work.symbols.back().next = none;
  }

  bool cut_byte(std::string_view unit, std::size_t at, workspace& work) const {
    const token_id id = byte_ids_[static_cast<std::uint8_t>(unit.front())];
    if (id >= 0) push(id, at, 1, work);
    return id >= 0;
  }

  bool cut_character(std::string_view unit, std::size_t at, workspace& work) const {
    const auto found = by_text_.find(unit);
    if (found != by_text_.end()) {
      push(found->second, at, unit.size(), work);
      return true;
    }
    if (!data_->byte_fallback) return false;
    const auto has_token = [this](char c) { return byte_ids_[static_cast<std::uint8_t>(c)] >= 0; };
    if (!std::all_of(unit.begin(), unit.end(), has_token)) return false;
    for (std::size_t i = 0; i < unit.size(); ++i)
      push(byte_ids_[static_cast<std::uint8_t>(unit[i])], at + i, 1, work);
    return true;
  }

  static void push(token_id id, std::size_t begin, std::size_t size, workspace& work) {
    const auto index = static_cast<std::uint32_t>(work.symbols.size());
    work.symbols.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(size),
                            index == 0 ? none : index - 1, index + 1, id});
  }

  void merge(std::string_view word, workspace& work) const {
    auto& symbols = work.symbols;
    auto& heap = work.heap;
    heap.clear();
    for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) propose(word, i, i + 1, work);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      const auto best = heap.back();
      heap.pop_back();
      auto& left = symbols[best.left];
      auto& right = symbols[best.right];
      // Stale if a merge on either side has taken a symbol away or made it longer.
      if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
      left.size = best.size;
      left.id = best.id;
      left.next = right.next;
      right.size = 0;
      if (left.next != none) {
        symbols[left.next].previous = best.left;
        propose(word, best.left, left.next, work);
      }
      if (left.previous != none) propose(word, left.previous, best.left, work);
    }
  }

  /// Puts a pair of neighbours on the heap if they can merge.
  void propose(std::string_view word, std::uint32_t left_index, std::uint32_t right_index,
               workspace& work) const {
    const auto& left = work.symbols[left_index];
    const auto& right = work.symbols[right_index];
    const std::uint32_t size = left.size + right.size;
    std::optional<merged> found;
    if (data_->order == merge_order::by_rank) {
      found = find_pair(left.id, right.id);
    } else if (left.begin + left.size == right.begin) {  // no dropped character between them
      found = find_joined(word.substr(left.begin, size));
    }
    if (!found) return;
    work.heap.push_back({found->rank, left_index, right_index, size, found->id});
    std::push_heap(work.heap.begin(), work.heap.end(), std::greater<>());
  }

  std::optional<merged> find_pair(token_id left, token_id right) const {
    const auto found = pairs_.find(pair_key(left, right));
    if (found == pairs_.end()) return std::nullopt;
    return found->second;
  }

  std::optional<merged> find_joined(std::string_view text) const {
    if (text.size() > longest_) return std::nullopt;
    const auto found = by_text_.find(text);
    if (found == by_text_.end()) return std::nullopt;
    return merged{ranks_[static_cast<std::size_t>(found->second)], found->second};
  }

  const tokenizer_data* data_;
  // What to look up is the text as it reaches this model: for byte-level pieces the bytes they
  // stand for, for others their spelling.
  std::unordered_map<std::string_view, token_id> by_text_;
  std::array<token_id, 256> byte_ids_{};
  std::vector<std::uint32_t> ranks_;                 // by score: of each piece
  std::unordered_map<std::uint64_t, merged> pairs_;  // by rank
  std::size_t longest_ = 0;
};

}  // namespace qompose

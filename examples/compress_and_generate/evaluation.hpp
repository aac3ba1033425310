// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a model is asked to predict.

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "options.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/perplexity.hpp"
#include "qompose/io/tokenizer.hpp"

namespace demo {

namespace qp = qompose;

/// A text cut into windows, or sequences of ids line by line.
struct evaluation {
  bool by_line = false;
  std::vector<qp::token_id> tokens;
  qp::perplexity_options window_options;
  std::vector<std::vector<qp::token_id>> lines;
  qp::sequence_options line_options;
  std::string description;  ///< for the footnote

  /// n tokens of it, from the beginning, over and over if need be.
  [[nodiscard]] std::vector<qp::token_id> sample(std::size_t n) const;
};

/// The bytes of a file.
/// @throws qompose::file_error
std::string read_text(const std::filesystem::path& path);

/// Makes what `--text`, `--ids`, `--context` and `--score-from` ask for.
/// @param words  the tokenizer; may be missing with `--ids`
/// @throws qompose::error naming what is wrong
evaluation make_evaluation(const options& o, const qp::decoder_config& config,
                           const std::optional<qp::tokenizer>& words);

}  // namespace demo

// SPDX-License-Identifier: Apache-2.0

#include "evaluation.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>

#include "evaluation_text.hpp"
#include "qompose/core/error.hpp"

namespace demo {
namespace {

std::vector<qp::token_id> parse_line(const std::string& line, const std::string& where) {
  constexpr std::string_view blanks = " \t\r";
  std::vector<qp::token_id> ids;
  std::size_t begin = line.find_first_not_of(blanks);
  while (begin != std::string::npos) {
    const std::size_t end = std::min(line.find_first_of(blanks, begin), line.size());
    qp::token_id id = 0;
    const auto [stop, failure] = std::from_chars(line.data() + begin, line.data() + end, id);
    if (failure != std::errc{} || stop != line.data() + end) {
      throw qp::file_error(where + ": '" +
                           line.substr(begin, std::min<std::size_t>(end - begin, 20)) +
                           "', expected a token id");
    }
    ids.push_back(id);
    begin = line.find_first_not_of(blanks, end);
  }
  return ids;
}

std::vector<std::vector<qp::token_id>> read_ids(const std::filesystem::path& path,
                                                std::size_t vocab_size) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) {
    throw qp::file_error(path.string() + ": cannot be read");
  }
  std::vector<std::vector<qp::token_id>> lines;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    const std::string where = path.string() + ", line " + std::to_string(number);
    std::vector<qp::token_id> ids = parse_line(line, where);
    for (const qp::token_id id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= vocab_size) {
        throw qp::file_error(where + ": token " + std::to_string(id) + ", the model has 0.." +
                             std::to_string(vocab_size - 1));
      }
    }
    if (!ids.empty()) lines.push_back(std::move(ids));
  }
  if (lines.empty()) throw qp::file_error(path.string() + ": has no token ids");
  return lines;
}

std::string counted(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

}  // namespace

std::vector<qp::token_id> evaluation::sample(std::size_t n) const {
  std::vector<qp::token_id> result;
  result.reserve(n);
  const auto append = [&](const std::vector<qp::token_id>& from) {
    const std::size_t count = std::min(from.size(), n - result.size());
    result.insert(result.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  };
  while (result.size() < n) {
    append(tokens);
    for (const auto& line : lines) append(line);
  }
  return result;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) {
    throw qp::file_error(path.string() + ": cannot be read");
  }
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text.empty()) throw qp::file_error(path.string() + ": is empty");
  return text;
}

evaluation make_evaluation(const options& o, const qp::decoder_config& config,
                           const std::optional<qp::tokenizer>& words) {
  if (o.context > config.seq_len) {
    throw qp::argument_error("--context: " + std::to_string(o.context) +
                             " tokens, the model takes at most " + std::to_string(config.seq_len));
  }
  evaluation e;
  if (!o.ids.empty()) {
    e.by_line = true;
    e.lines = read_ids(o.ids, config.vocab_size);
    e.line_options.context = o.context == 0 ? config.seq_len : o.context;
    e.line_options.score_from = o.score_from.value_or(0);
    e.description = o.ids.filename().string() + ", " + counted(e.lines.size(), "sequence") +
                    " of at most " + std::to_string(e.line_options.context) + " tokens";
    if (e.line_options.score_from > 0) {
      e.description += ", scored from position " + std::to_string(e.line_options.score_from);
    }
    return e;
  }

  qp::perplexity_options& window = e.window_options;
  window.context = o.context == 0 ? std::min<std::size_t>(512, config.seq_len) : o.context;
  window.score_from = o.score_from.value_or(window.context / 2);
  if (*window.score_from > window.context - 2) {
    throw qp::argument_error("--score-from: " + std::to_string(*window.score_from) +
                             ", expected at most --context - 2, " +
                             std::to_string(window.context - 2));
  }
  if (words->add_bos()) window.bos_id = words->bos_id();
  const std::string source = o.text.empty() ? "the built-in text" : o.text.filename().string();
  e.tokens = words->encode(o.text.empty() ? std::string(evaluation_text) : read_text(o.text));
  if (e.tokens.size() < window.context) {
    throw qp::argument_error(source + ": " + counted(e.tokens.size(), "token") +
                             ", expected at least one window of " + std::to_string(window.context) +
                             "; choose a smaller --context");
  }
  e.description = source + ", " + counted(e.tokens.size() / window.context, "window") + " of " +
                  std::to_string(window.context) + " tokens, scored from position " +
                  std::to_string(*window.score_from);
  return e;
}

}  // namespace demo

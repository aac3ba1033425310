// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The command line.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace demo {

/// What was asked for; paths are empty and numbers are 0 where nothing was said.
struct options {
  std::filesystem::path model;
  std::filesystem::path tokenizer;
  std::vector<std::string> recipes;  ///< known names, each once, the baseline first
  std::vector<std::string> caches;   ///< the same
  std::vector<std::size_t> depths;   ///< ascending
  std::string prompt = "Once upon a time";
  std::size_t tokens = 128;
  float temperature = 0.0f;
  std::uint64_t seed = 0;
  int threads = 0;
  std::size_t context = 0;
  std::optional<std::size_t> score_from;
  std::filesystem::path text;
  std::filesystem::path ids;
  std::filesystem::path csv;
  bool print_ids = false;
  bool generate = true;
  bool list = false;
};

/// The command line is wrong; the message is one line.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads the command line.
/// @return nothing when help was asked for and printed
/// @throws usage_error
std::optional<options> parse_options(int argc, char** argv);

}  // namespace demo

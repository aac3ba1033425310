// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rows for people (stdout) and for programs (CSV).

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "job.hpp"

namespace demo {

/// Prints rows as they come, in columns.
class table {
 public:
  /// Prints the header.
  /// @param recipes, caches  names of the rows to come, for the width of their columns
  /// @param depths           of the speeds that rows have
  table(const std::vector<std::string>& recipes, const std::vector<std::string>& caches,
        const std::vector<std::size_t>& depths);

  /// Prints a row.
  /// @param baseline  what it is compared with, if that was measured
  void print(const measurement& row, const std::optional<measurement>& baseline) const;

 private:
  void print_line(const std::vector<std::string>& cells) const;

  std::vector<std::size_t> widths_;
};

/// Writes rows as they come, so that a run that is cut short leaves what it had.
class csv_file {
 public:
  /// Writes the header.
  /// @throws qompose::file_error
  /// @param depths  of the speeds that rows have
  csv_file(const std::filesystem::path& path, const std::vector<std::size_t>& depths);

  /// Writes a row.
  /// @throws qompose::file_error
  void write(const measurement& row, const std::optional<measurement>& baseline);

 private:
  void finish_line();

  std::filesystem::path path_;
  std::ofstream file_;
};

/// What the columns mean, below the table.
void print_footnotes(const job& job);

/// All recipes and caches, for `--list`.
void print_list();

}  // namespace demo

// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Prints the catalogue: every named tensor spec with its bits per weight, composition, source
///        and use.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/catalogue_rows.hpp"
#include "qompose/recipe/describe.hpp"

namespace {

struct listed_format {
  std::string name;
  double bits;
  std::string composition;
  std::string source;
  std::string use;
};

std::vector<listed_format> list_formats(std::size_t rows, std::size_t cols) {
  std::vector<listed_format> list;
  qompose::for_each_in_catalogue([&]<class Spec>(const qompose::catalogue_row<Spec>& row) {
    list.push_back({std::string(row.name), qompose::bits_per_element<Spec>(rows, cols),
                    qompose::describe<Spec>(), std::string(row.source), std::string(row.use)});
  });
  return list;
}

void print_table(const std::vector<listed_format>& list) {
  std::size_t name_width = 0;
  std::size_t source_width = 0;
  for (const listed_format& row : list) {
    name_width = std::max(name_width, row.name.size());
    source_width = std::max(source_width, row.source.size());
  }
  for (const listed_format& row : list) {
    std::printf("%-*s  %7.4f bits  %-*s  %s\n%*s  %s\n", static_cast<int>(name_width),
                row.name.c_str(), row.bits, static_cast<int>(source_width), row.source.c_str(),
                row.use.c_str(), static_cast<int>(name_width), "", row.composition.c_str());
  }
}

/// A field of a CSV file: compositions hold commas.
std::string quoted(const std::string& text) { return '"' + text + '"'; }

void print_csv(const std::vector<listed_format>& list) {
  std::puts("name,bits_per_weight,composition,source,use");
  for (const listed_format& row : list) {
    std::printf("%s,%.6f,%s,%s,%s\n", row.name.c_str(), row.bits, quoted(row.composition).c_str(),
                quoted(row.source).c_str(), quoted(row.use).c_str());
  }
}

void print_json(const std::vector<listed_format>& list) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const listed_format& row : list) {
    all.push_back({{"name", row.name},
                   {"bits_per_weight", row.bits},
                   {"composition", row.composition},
                   {"source", row.source},
                   {"use", row.use}});
  }
  std::puts(all.dump(2).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Lists every tensor spec that has a name: bits per weight with scales, zero points and\n"
      "codebooks counted, where it comes from, what to use it for, and the type it stands for.\n"
      "\n"
      "  list_formats                      for people\n"
      "  list_formats --csv | grep ^mx     for programs\n"
      "  list_formats --rows 1 --cols 64   bits of a small matrix"};
  std::size_t rows = 4096;
  std::size_t cols = 4096;
  bool csv = false;
  bool json = false;
  app.add_option("--rows", rows, "Rows of the matrix that bits are counted for")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--cols", cols, "Columns of that matrix")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  CLI::Option* as_csv = app.add_flag("--csv", csv, "Comma-separated values with a header line");
  app.add_flag("--json", json, "An array of objects")->excludes(as_csv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "list_formats: %s\n", error.what());
    return 2;
  }

  const std::vector<listed_format> list = list_formats(rows, cols);
  if (csv) {
    print_csv(list);
  } else if (json) {
    print_json(list);
  } else {
    print_table(list);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Prints the catalogue: every named tensor spec with its bits per weight, composition,
/// source
///        and use.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/qompose.hpp"
#include "qompose/recipe/catalogue_rows.hpp"

namespace {

namespace qp = qompose;

struct listed_format {
  std::string name;
  double bits;
  double error;         ///< of normal numbers with the default rule, NaN where not asked for
  double search_error;  ///< the same with mse_search where that applies, else the default's
  std::string composition;
  std::string source;
  std::string use;
};

/// Squared error of normal numbers that are quantized and back, relative to their squares.
template <class Spec, class Rule>
double relative_error(const std::vector<float>& x, std::size_t cols, const Rule& rule) {
  std::vector<float> y(x.size());
  qp::fake_quantize<Spec>({x.data(), x.size() / cols, cols}, {y.data(), x.size() / cols, cols},
                          rule);
  double error = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto value = static_cast<double>(x[i]);
    error += (value - static_cast<double>(y[i])) * (value - static_cast<double>(y[i]));
    size += value * value;
  }
  return error / size;
}

/// Signs, codebooks and progressive scales have rules of their own.
template <class Spec>
constexpr bool takes_search() {
  if constexpr (qp::quant_spec<Spec>) {
    using element = typename Spec::element;
    return !qp::learned_format<element> && !std::is_same_v<element, qp::ternary> &&
           !std::is_same_v<element, qp::binary> &&
           !qp::is_progressive<typename Spec::scale_type::format>;
  } else {
    return false;
  }
}

std::vector<listed_format> list_formats(std::size_t rows, std::size_t cols, bool with_errors) {
  constexpr std::size_t sample_cols = 1024;
  std::vector<float> sample(with_errors ? 64 * sample_cols : 0);
  qp::random_source random(1);
  for (float& value : sample) value = static_cast<float>(random.normal());
  std::vector<listed_format> list;
  qp::for_each_in_catalogue([&]<class Spec>(const qp::catalogue_row<Spec>& row) {
    double error = NAN;
    double search_error = NAN;
    if (with_errors) {
      error = relative_error<Spec>(sample, sample_cols, qp::default_rule{});
      search_error = error;
      if constexpr (takes_search<Spec>()) {
        search_error = relative_error<Spec>(sample, sample_cols, qp::mse_search{});
      }
    }
    list.push_back({std::string(row.name), qp::bits_per_element<Spec>(rows, cols), error,
                    search_error, qp::describe<Spec>(), std::string(row.source),
                    std::string(row.use)});
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
  const auto width = [](std::size_t n) { return static_cast<int>(n); };
  for (const listed_format& row : list) {
    std::printf("%-*s  %7.4f bits  %-*s  %s\n%*s  %s\n", width(name_width), row.name.c_str(),
                row.bits, width(source_width), row.source.c_str(), row.use.c_str(),
                width(name_width), "", row.composition.c_str());
    if (std::isnan(row.error)) continue;
    std::printf("%*s  relative squared error of normal numbers %.3g", width(name_width), "",
                row.error);
    if (row.search_error != row.error) std::printf(", with mse_search %.3g", row.search_error);
    std::puts("");
  }
}

/// A field of a CSV file: compositions hold commas.
std::string quoted(const std::string& text) { return '"' + text + '"'; }

void print_csv(const std::vector<listed_format>& list) {
  const bool with_errors = !list.empty() && !std::isnan(list.front().error);
  std::printf("name,bits_per_weight,%scomposition,source,use\n",
              with_errors ? "error,search_error," : "");
  for (const listed_format& row : list) {
    std::printf("%s,%.6f,", row.name.c_str(), row.bits);
    if (with_errors) std::printf("%.6g,%.6g,", row.error, row.search_error);
    std::printf("%s,%s,%s\n", quoted(row.composition).c_str(), quoted(row.source).c_str(),
                quoted(row.use).c_str());
  }
}

void print_json(const std::vector<listed_format>& list) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const listed_format& row : list) {
    nlohmann::ordered_json object{{"name", row.name}, {"bits_per_weight", row.bits}};
    if (!std::isnan(row.error)) {
      object["error"] = row.error;
      object["search_error"] = row.search_error;
    }
    object["composition"] = row.composition;
    object["source"] = row.source;
    object["use"] = row.use;
    all.push_back(std::move(object));
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
      "  list_formats --errors             also how far off normal numbers come back\n"
      "  list_formats --rows 1 --cols 64   bits of a small matrix"};
  std::size_t rows = 4096;
  std::size_t cols = 4096;
  bool errors = false;
  bool csv = false;
  bool json = false;
  app.add_option("--rows", rows, "Rows of the matrix that bits are counted for")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--cols", cols, "Columns of that matrix")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  app.add_flag("--errors", errors, "Measure the error of normal numbers (a few seconds)");
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

  const std::vector<listed_format> list = list_formats(rows, cols, errors);
  if (csv) {
    print_csv(list);
  } else if (json) {
    print_json(list);
  } else {
    print_table(list);
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief The benchmarks' command line: Google Benchmark's, and what rows of layers take.

#include <benchmark/benchmark.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "attention/rows.hpp"
#include "linear/rows.hpp"
#include "options.hpp"
#include "qompose/kernels/kernels.hpp"
#include "zero_overhead/rows.hpp"

namespace {

constexpr const char* usage =
    "Rows of layers and of attention take:\n"
    "  --threads=1,2             numbers of threads (default 1)\n"
    "  --tokens=1,8,512          numbers of tokens (default 1,8,32,128,512)\n"
    "  --shapes=4096x4096,...    [out_features x in_features] (default 4096x4096,14336x4096)\n"
    "  --attention=1x8192,...    [queries x tokens] (default 1,512x1024 and 1,8,512x8192)\n"
    "  --row-seconds=0.3         timing of a row, at least\n"
    "and all rows what Google Benchmark takes, such as --benchmark_filter=w4a8.*n:1/\n";

/// A reporter that leaves out of the names how rows time themselves.
template <class Reporter>
class plain_names final : public Reporter {
  using run = benchmark::BenchmarkReporter::Run;

 public:
  using Reporter::Reporter;
  bool ReportContext(const benchmark::BenchmarkReporter::Context& context) override {
    benchmark::BenchmarkReporter::Context wide = context;
    wide.name_field_width = 44;
    return Reporter::ReportContext(wide);
  }
  void ReportRuns(const std::vector<run>& runs) override {
    std::vector<run> plain = runs;
    for (run& one : plain) {
      if (one.run_name.iterations != "iterations:1") continue;
      one.run_name.iterations.clear();
      one.run_name.time_type.clear();
    }
    Reporter::ReportRuns(plain);
  }
};

/// The part of `argument` after `--name=`, or nothing.
bool value_of(std::string_view argument, std::string_view name, std::string_view& value) {
  if (!argument.starts_with(name)) return false;
  value = argument.substr(name.size());
  return true;
}

template <class Number>
bool parse(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > Number{0};
}

/// The parts of a list with commas.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

bool parse_list(std::string_view text, std::vector<std::size_t>& list) {
  list.clear();
  for (const std::string_view part : parts_of(text)) {
    if (!parse(part, list.emplace_back())) return false;
  }
  return true;
}

/// A list of pairs such as 4096x4096, each made of its two numbers.
template <class Shape>
bool parse_shapes(std::string_view text, std::vector<Shape>& shapes) {
  shapes.clear();
  for (const std::string_view part : parts_of(text)) {
    const std::size_t cross = part.find('x');
    std::size_t first = 0;
    std::size_t second = 0;
    if (cross == std::string_view::npos || !parse(part.substr(0, cross), first) ||
        !parse(part.substr(cross + 1), second)) {
      return false;
    }
    shapes.push_back({first, second});
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__GLIBC__)
  // Freed memory stays with the program: a virtual machine may take longer to hand pages out again
  // than a row takes.
  (void)mallopt(M_MMAP_MAX, 0);
  (void)mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  qompose_bench::row_options options;
  bool has_file = false;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string_view value;
    bool is_good = true;
    if (value_of(argv[i], "--threads=", value)) {
      is_good = parse_list(value, options.threads);
    } else if (value_of(argv[i], "--tokens=", value)) {
      is_good = parse_list(value, options.tokens);
    } else if (value_of(argv[i], "--shapes=", value)) {
      is_good = parse_shapes(value, options.shapes);
    } else if (value_of(argv[i], "--attention=", value)) {
      is_good = parse_shapes(value, options.attention);
    } else if (value_of(argv[i], "--row-seconds=", value)) {
      is_good = parse(value, options.seconds);
    } else {
      if (std::strcmp(argv[i], "--help") == 0) std::fputs(usage, stdout);
      if (value_of(argv[i], "--benchmark_out=", value)) has_file = true;
      argv[kept++] = argv[i];
    }
    if (!is_good) {
      std::fprintf(stderr, "%s: not understood\n%s", argv[i], usage);
      return 2;
    }
  }
  argc = kept;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("target", qompose::target_name());
  qompose_bench::register_limit_rows(options);
  qompose_bench::register_product_rows(options);
  qompose_bench::register_attention_rows(options);
  qompose_bench::register_zero_overhead_rows(options);
  plain_names<benchmark::ConsoleReporter> console(isatty(STDOUT_FILENO) != 0
                                                      ? benchmark::ConsoleReporter::OO_ColorTabular
                                                      : benchmark::ConsoleReporter::OO_Tabular);
  plain_names<benchmark::JSONReporter> file;
  if (has_file) {
    benchmark::RunSpecifiedBenchmarks(&console, &file);
  } else {
    benchmark::RunSpecifiedBenchmarks(&console);
  }
  benchmark::Shutdown();
  return 0;
}

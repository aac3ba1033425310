// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Reads a GGUF model and writes it again with its matrices stored as another composition,
///        in blocks that llama.cpp loads.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "compress_and_generate/progress.hpp"
#include "compress_and_generate/threads.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/gguf.hpp"
#include "qompose/io/gguf_matrix.hpp"
#include "qompose/io/gguf_writer.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/rules/default_rule.hpp"
#include "qompose/rules/mse_search.hpp"

namespace {

namespace qp = qompose;

/// A composition under the name that GGUF gives it.
template <class Spec>
struct named {
  using spec = Spec;
  std::string_view name;
};

/// Everything that --type takes; a new one is a line here.
constexpr std::tuple types{
    named<qp::fp32>{"f32"},    named<qp::fp16>{"f16"},  named<qp::bf16>{"bf16"},
    named<qp::q8_0>{"q8_0"},   named<qp::q5_1>{"q5_1"}, named<qp::q5_0>{"q5_0"},
    named<qp::q4_1>{"q4_1"},   named<qp::q4_0>{"q4_0"}, named<qp::mxfp4>{"mxfp4"},
    named<qp::nvfp4>{"nvfp4"},
};

/// The command line is wrong; the message is one line.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct options {
  std::filesystem::path from;
  std::filesystem::path to;
  std::string type = "q4_0";
  int threads = demo::default_threads();
};

/// What was written.
struct totals {
  std::size_t matrices = 0;      ///< stored as asked
  std::size_t tensors = 0;       ///< all that the source has
  std::size_t weights = 0;       ///< elements of all tensors
  std::size_t weight_bytes = 0;  ///< of all tensors, without metadata and padding
  std::uint64_t file_bytes = 0;
};

/// Matrices of decoder blocks, embedding and head; what routes experts is too small to gain and too
/// sensitive to lose.
bool is_weight_matrix(const qp::file_tensor& tensor) {
  const std::string_view name = tensor.name;
  return tensor.shape.size() == 2 && name.ends_with(".weight") &&
         (name.starts_with("blk.") || name == "token_embd.weight" || name == "output.weight") &&
         name.find("ffn_gate_inp") == std::string_view::npos;
}

/// How a tensor of the source is stored in the target.
enum class treatment { unchanged, as_asked, as_q8_0 };

template <class Spec>
treatment treatment_of(const qp::file_tensor& tensor) {
  const qp::tensor_encoding& blocks = *qp::find_ggml_encoding(qp::gguf_twin<Spec>::type);
  if (!is_weight_matrix(tensor) || tensor.cols() % blocks.block_size != 0) {
    return treatment::unchanged;
  }
  // llama.cpp multiplies by the scale of a tensor after a product, and looking up a token is none.
  if (qp::has_gguf_tensor_scale<Spec> && tensor.name == "token_embd.weight") {
    return treatment::as_q8_0;
  }
  return treatment::as_asked;
}

/// Calls `stored` for the spec that a tensor is to be stored as, or `unchanged`.
template <class Spec, class Stored, class Unchanged>
void visit_treatment(const qp::file_tensor& tensor, Stored&& stored, Unchanged&& unchanged) {
  switch (treatment_of<Spec>(tensor)) {
    case treatment::unchanged:
      return unchanged();
    case treatment::as_asked:
      return stored.template operator()<Spec>();
    case treatment::as_q8_0:
      return stored.template operator()<qp::q8_0>();
  }
}

template <class Spec>
std::size_t bytes_as(const qp::file_tensor& tensor) {
  return qp::stored_bytes(tensor.name, tensor.shape,
                          *qp::find_ggml_encoding(qp::gguf_twin<Spec>::type)) +
         (qp::has_gguf_tensor_scale<Spec> ? sizeof(float) : 0);
}

/// The rule that finds scales: few levels gain by clipping a little, many do not.
template <class Spec>
constexpr auto rule_for() {
  if constexpr (qp::gguf_twin<Spec>::type == qp::gguf_twin<qp::q8_0>::type ||
                qp::number_format<Spec>) {
    return qp::default_rule{};
  } else {
    return qp::mse_search{.grid = 20, .lowest_ratio = 0.7f};
  }
}

/// Decodes, quantizes and writes some rows at a time, or all where they share a scale.
template <class Spec, class Step>
void convert(qp::gguf_writer& out, const qp::file_tensor& tensor, const demo::threads& run,
             Step&& step) {
  constexpr std::size_t most_values = std::size_t{1} << 22;
  const std::size_t at_once =
      qp::has_gguf_tensor_scale<Spec>
          ? tensor.rows()
          : std::clamp<std::size_t>(most_values / tensor.cols(), 1, tensor.rows());
  std::vector<float> values(at_once * tensor.cols());
  for (std::size_t first = 0; first < tensor.rows(); first += at_once) {
    const std::size_t count = std::min(at_once, tensor.rows() - first);
    tensor.decode_rows(first, count, values.data());
    const qp::matrix_view<const float> rows(values.data(), count, tensor.cols());
    qp::write_matrix(out, tensor.name, qp::quantize<Spec>(rows, rule_for<Spec>(), run), run);
    step(count * tensor.cols());
  }
}

template <class Spec>
totals export_as(const qp::gguf_file& model, const options& o) {
  qp::gguf_writer out(o.to);
  out.copy_metadata(model, {"general.file_type", "general.quantization_version"});
  out.set("general.file_type", qp::gguf_twin<Spec>::file_type);
  out.set("general.quantization_version", std::uint32_t{2});  // ggml's block layouts since May 2023

  totals sum;
  for (const qp::file_tensor& tensor : model.tensors()) {
    const auto declare = [&]<class Stored>() {
      qp::declare_matrix<Stored>(out, tensor.name, tensor.rows(), tensor.cols());
      sum.weight_bytes += bytes_as<Stored>(tensor);
      if constexpr (std::is_same_v<Stored, Spec>) ++sum.matrices;
    };
    visit_treatment<Spec>(tensor, declare, [&] {
      out.declare(tensor.name, tensor.shape, qp::ggml_type_of(*tensor.encoding));
      sum.weight_bytes += tensor.bytes.size();
    });
    ++sum.tensors;
    sum.weights += tensor.rows() * tensor.cols();
  }

  const demo::threads run = demo::make_threads(o.threads);
  demo::progress shown(o.to.filename().string());
  std::size_t done = 0;
  const auto step = [&](std::size_t n) { shown.update(done += n, sum.weights); };
  for (const qp::file_tensor& tensor : model.tensors()) {
    visit_treatment<Spec>(
        tensor, [&]<class Stored>() { convert<Stored>(out, tensor, run, step); },
        [&] {
          out.write(tensor.name, tensor.bytes);
          step(tensor.rows() * tensor.cols());
        });
    tensor.file->release(tensor.bytes);
  }
  out.finish();
  sum.file_bytes = out.size();
  return sum;
}

std::string known_types() {
  std::string names;
  std::apply(
      [&](const auto&... t) {
        ((names += (names.empty() ? "" : ", ") + std::string(t.name)), ...);
      },
      types);
  return names;
}

std::optional<options> parse_options(int argc, char** argv) {
  options o;
  CLI::App app(
      "Writes a GGUF model again with its matrices (embedding and head too) stored as TYPE, in "
      "blocks that llama.cpp loads. Metadata and all other tensors are copied as they are.\n\n"
      "  export_gguf model-f16.gguf model-q4_0.gguf --type q4_0\n"
      "  llama-completion -m model-q4_0.gguf -p \"Once upon a time\"\n",
      "export_gguf");
  app.add_option("IN", o.from, "GGUF file to read; best one of f32, f16 or bf16")->required();
  app.add_option("OUT", o.to, "GGUF file to write; replaced when the new one is complete")
      ->required();
  app.add_option("--type", o.type,
                 known_types() +
                     " (nvfp4 stores the embedding as q8_0: llama.cpp has no place for "
                     "its scale)")
      ->type_name("TYPE")
      ->capture_default_str();
  app.add_option("--threads", o.threads, "How many threads compute; the file is the same for all")
      ->type_name("N")
      ->check(CLI::Range(1, demo::most_threads).description(""))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return std::nullopt;
  } catch (const CLI::ParseError& wrong) {
    std::string line = wrong.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    throw usage_error(line);
  }
  return o;
}

void run(const options& o) {
  const auto has_name = [&](const auto& type) { return type.name == o.type; };
  if (!std::apply([&](const auto&... t) { return (has_name(t) || ...); }, types)) {
    throw usage_error("--type: unknown type '" + o.type + "'; there are " + known_types());
  }
  const qp::gguf_file model(o.from);
  totals sum;
  const auto try_type = [&]<class Spec>(const named<Spec>& type) {
    if (has_name(type)) sum = export_as<Spec>(model, o);
  };
  std::apply([&](const auto&... t) { (try_type(t), ...); }, types);
  std::printf("%s: %zu of %zu tensors as %s, %.1f MB, %.3f bits per weight\n",
              o.to.string().c_str(), sum.matrices, sum.tensors, o.type.c_str(),
              static_cast<double>(sum.file_bytes) * 1e-6,
              8.0 * static_cast<double>(sum.weight_bytes) / static_cast<double>(sum.weights));
}

int fail(const char* message, int status) {
  std::fprintf(stderr, "export_gguf: %s\n", message);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (const auto options = parse_options(argc, argv)) run(*options);
    return 0;
  } catch (const usage_error& wrong) {
    return fail(wrong.what(), 2);
  } catch (const qompose::error& wrong) {
    return fail(wrong.what(), 2);
  } catch (const std::exception& failure) {
    return fail(failure.what(), 1);
  }
}

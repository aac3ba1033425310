// SPDX-License-Identifier: Apache-2.0
// Files that one machine writes and another one reads: `portable_files write FOLDER` saves matrices
// and layers made of seeded data, `portable_files check FOLDER` loads them and compares them with
// its own.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "qompose/io/layer_file.hpp"
#include "qompose/io/matrix_file.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::same;

namespace {

/// Whether the outputs of a layer are the same on every target: one int32 sum an element, times
/// s_w * s_x.
enum class outputs { identical, close };

/// Multiples of 1/256 in [-2, 2): made without a function that mathematics libraries differ in.
matrix seeded_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  qp::random_source random(seed);
  matrix m(rows, cols);
  for (float& value : m.values()) {
    value = static_cast<float>(static_cast<int>(random.bits() % 1024) - 512) / 256.0f;
  }
  return m;
}

bool same_bits(const matrix& a, const matrix& b) {
  bool equal = a.values().size() == b.values().size();
  for (std::size_t i = 0; equal && i < a.values().size(); ++i) {
    equal =
        std::bit_cast<std::uint32_t>(a.values()[i]) == std::bit_cast<std::uint32_t>(b.values()[i]);
  }
  return equal;
}

class files {
 public:
  files(std::filesystem::path folder, bool writes) : folder_(std::move(folder)), writes_(writes) {}

  template <class Spec>
  void matrix_of(std::string_view name) {
    const auto path = file(name, ".matrix");
    const auto q = qp::quantize<Spec>(seeded_matrix(37, 150, 1).view());
    if (writes_) return qp::save(path, q);
    require(name, "codes", same(qp::load<qp::quantized_matrix<Spec>>(path), q));
  }

  template <class Recipe>
  void layer_of(std::string_view name, outputs which) {
    const auto path = file(name, ".layer");
    const auto outputs_path = file(name, ".outputs");
    const matrix x = seeded_matrix(5, 150, 2);
    const matrix bias = seeded_matrix(1, 37, 3);
    const auto layer = which == outputs::identical
                           ? qp::compress<Recipe>(seeded_matrix(37, 150, 4).view())
                           : qp::compress<Recipe>(seeded_matrix(37, 150, 4).view(), bias.values());
    const matrix y = run(layer, x);
    if (writes_) {
      qp::save(path, layer);
      return qp::save(outputs_path, qp::quantize<qp::fp32>(y.view()));
    }
    const auto loaded = qp::load<qp::linear<Recipe>>(path);
    require(name, "codes", same(loaded.quantized(), layer.quantized()));
    require(name, "outputs after loading", same_bits(run(loaded, x), y));
    if (which == outputs::identical) {
      const auto theirs = qp::load<qp::quantized_matrix<qp::fp32>>(outputs_path);
      require(name, "outputs where it was written", same(theirs, qp::quantize<qp::fp32>(y.view())));
    }
  }

  /// Says how many comparisons were made.
  /// @return the exit status
  [[nodiscard]] int result() const {
    if (!writes_) std::printf("%d comparisons of files, %d wrong\n", n_compared_, n_wrong_);
    return n_wrong_ == 0 ? 0 : 1;
  }

 private:
  [[nodiscard]] std::filesystem::path file(std::string_view name, const char* kind) const {
    return folder_ / (std::string(name) + kind + ".safetensors");
  }
  template <class Recipe>
  static matrix run(const qp::linear<Recipe>& layer, const matrix& x) {
    matrix y(x.rows(), layer.out_features());
    layer(x.view(), y.view());
    return y;
  }
  void require(std::string_view name, const char* what, bool equal) {
    ++n_compared_;
    if (equal) return;
    ++n_wrong_;
    std::printf("%.*s: %s differ\n", static_cast<int>(name.size()), name.data(), what);
  }

  std::filesystem::path folder_;
  bool writes_;
  int n_compared_ = 0;
  int n_wrong_ = 0;
};

void visit(files& all) {
  all.matrix_of<qp::bf16>("bf16");
  all.matrix_of<qp::w8_channel>("w8_channel");
  all.matrix_of<qp::w4_g32>("w4_g32");
  all.matrix_of<qp::w3_g64>("w3_g64");
  all.matrix_of<qp::w4_zero_g128>("w4_zero_g128");
  all.matrix_of<qp::mxfp4>("mxfp4");
  all.matrix_of<qp::mxfp6_e2m3>("mxfp6_e2m3");
  all.matrix_of<qp::nvfp4>("nvfp4");
  all.matrix_of<qp::q4_k_like>("q4_k_like");
  all.matrix_of<qp::w4_progressive>("w4_progressive");
  all.matrix_of<qp::nf4_double>("nf4_double");
  all.matrix_of<qp::ternary_channel>("ternary_channel");
  all.matrix_of<qp::codebook3>("codebook3");

  using w4a8_channel = qp::recipe<qp::weight<qp::w4_channel>, qp::activation<qp::a8_token>>;
  all.layer_of<qp::w8a8>("w8a8", outputs::identical);
  all.layer_of<qp::w8a8_hadamard>("w8a8_hadamard", outputs::identical);
  all.layer_of<w4a8_channel>("w4a8_channel", outputs::identical);
  all.layer_of<qp::w4a8_g32>("w4a8_g32", outputs::close);
  all.layer_of<qp::w16a32>("w16a32", outputs::close);
  all.layer_of<qp::recipe<qp::weight<qp::nvfp4>>>("nvfp4", outputs::close);
  all.layer_of<qp::recipe<qp::weight<qp::codebook3>>>("codebook3", outputs::close);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[1] : "";
  if (mode != "write" && mode != "check") {
    std::fputs("usage: portable_files write|check FOLDER\n", stderr);
    return 2;
  }
  try {
    std::filesystem::create_directories(argv[2]);
    files all(argv[2], mode == "write");
    visit(all);
    return all.result();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Activations made ready for the integer products: transform, one scale a token, int8
/// codes, tiles. Bytes are those of the floats read.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/random.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/types.hpp"

namespace {

namespace qp = qompose;

template <class Transform>
struct kernels {
  std::size_t code_bytes;  ///< of four codes
  std::size_t (*tile_tokens)(std::size_t);
  void (*prepare)(const qp::detail::prepare_arguments&, const typename Transform::data&,
                  std::size_t, float*, std::int8_t*);
};

/// What a layer of a recipe does with its activations before the product.
template <class Recipe>
class activations {
 public:
  using transform = typename Recipe::transform_type;
  using layout = qp::panel_layout<typename Recipe::weight_spec>;

  activations(std::size_t n_tokens, std::size_t cols)
      : kernels_(qp::detail::with_best_target<qp::isa_tag>([]<class Target>() {
          using matmul = typename Target::template integer_matmul<layout>;
          using prepare = typename Target::template prepare<matmul, transform, qp::int8>;
          return kernels<transform>{matmul::kCodeBytes, &prepare::TileTokens, &prepare::Run};
        })),
        geometry_(qp::geometry_of<typename Recipe::weight_spec>(16, cols)),
        width_(kernels_.tile_tokens(n_tokens)),
        tiles_(qp::divide_up(n_tokens, width_)),
        data_(qp::detail::transform_data_for<transform>(cols)),
        x_(n_tokens * cols),
        values_(tiles_ * width_ * geometry_.padded_cols / 4 * kernels_.code_bytes),
        scales_(tiles_ * width_),
        sums_(tiles_ * width_ * geometry_.groups),
        corrections_(tiles_ * width_ * geometry_.groups),
        row_(cols),
        codes_(width_ * qp::detail::code_row_stride(cols)),
        arguments_{x_.data(),
                   cols,
                   n_tokens,
                   geometry_,
                   1,
                   cols,
                   {values_.data(), scales_.data(), corrections_.data(), sums_.data()}} {
    qp::random_source random(1);
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(random.normal());
  }

  void run() {
    for (std::size_t t = 0; t < tiles_; ++t) {
      kernels_.prepare(arguments_, data_, t, row_.data(), codes_.data());
    }
  }

  /// Whether all codes and scales are those of the scalar code.
  bool is_right() {
    const std::size_t cols = geometry_.cols;
    std::vector<float> row(cols);
    for (std::size_t t = 0; t < arguments_.n_tokens; ++t) {
      std::copy_n(x_.data() + t * cols, cols, row.begin());
      transform::forward(data_, row.data(), cols);
      float peak = 0.0f;
      for (const float v : row) peak = std::max(peak, std::abs(v));
      const float scale = peak / 127.0f;
      if (scales_[t] != scale) return false;
      const auto* tile = reinterpret_cast<const std::int8_t*>(values_.data()) +
                         t / width_ * width_ * geometry_.padded_cols / 4 * kernels_.code_bytes;
      for (std::size_t c = 0; c < cols; ++c) {
        const std::size_t at = geometry_.padded(c);
        const std::int8_t* quad = tile + (at / 4 * width_ + t % width_) * kernels_.code_bytes;
        if (kernels_.code_bytes == 4) {
          if (quad[at % 4] != qp::int8::encode(row[c] / scale)) return false;
          continue;
        }
        // Codes of 16 bits lie as 0, 2, 1, 3.
        constexpr std::size_t place[4] = {0, 2, 1, 3};
        std::int16_t code;
        std::memcpy(&code, quad + 2 * place[at % 4], sizeof(code));
        if (code != qp::int8::encode(row[c] / scale)) return false;
      }
    }
    return true;
  }

 private:
  kernels<transform> kernels_;
  qp::panel_geometry geometry_;
  std::size_t width_;
  std::size_t tiles_;
  typename transform::data data_;
  qp::aligned_buffer<float> x_;
  qp::aligned_buffer<std::byte> values_;
  qp::aligned_buffer<float> scales_;
  qp::aligned_buffer<float> sums_;
  qp::aligned_buffer<std::int32_t> corrections_;
  qp::aligned_buffer<float> row_;
  qp::aligned_buffer<std::int8_t> codes_;
  qp::detail::prepare_arguments arguments_;
};

template <class Recipe>
void row(const std::string& name) {
  // A row of 2048 floats, its transform and its codes fit any L1 cache.
  constexpr std::pair<std::size_t, std::size_t> shapes[] = {
      {1, 2048}, {1, 4096}, {8, 4096}, {128, 4096}};
  for (const auto& [n_tokens, cols] : shapes) {
    const auto run = [n_tokens = n_tokens, cols = cols](benchmark::State& state) {
      activations<Recipe> made(n_tokens, cols);
      made.run();
      if (!made.is_right()) return state.SkipWithError("a code or a scale is wrong");
      for (auto _ : state) {
        made.run();
        benchmark::ClobberMemory();
      }
      state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                              static_cast<std::int64_t>(n_tokens * cols * sizeof(float)));
      state.SetLabel(qp::target_name());
    };
    benchmark::RegisterBenchmark(
        ("activations/" + name + "/" + std::to_string(n_tokens) + "x" + std::to_string(cols))
            .c_str(),
        run);
  }
}

/// One row in L1 to int8 codes and a scale: the range, then the codes, nothing else.
void quantize_row(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  auto quantize = qp::detail::with_best_target<qp::isa_tag>(
      []<class Target>() { return &Target::template quantize_row<qp::int8>::Run; });
  // Kernels are no part of functions without their instruction set, even where it is known.
  benchmark::DoNotOptimize(quantize);
  qp::aligned_buffer<float> x(n);
  qp::aligned_buffer<std::int8_t> codes(n);
  qp::random_source random(1);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(random.normal());
  const float scale = quantize(x.data(), n, codes.data());
  for (std::size_t i = 0; i < n; ++i) {
    if (codes[i] != qp::int8::encode(x[i] / scale)) return state.SkipWithError("a code is wrong");
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(quantize(x.data(), n, codes.data()));
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0) *
                          static_cast<std::int64_t>(sizeof(float)));
  state.SetLabel(qp::target_name());
}
BENCHMARK(quantize_row)->Arg(2048)->Arg(4096);

template <class Weights, class Transform = qp::no_transform>
using a8 = qp::recipe<qp::weight<Weights>, qp::activation<qp::a8_token>, qp::transform<Transform>>;

[[maybe_unused]] const bool registered = [] {
  row<qp::w8a8>("w8a8");
  row<qp::w4a8_g32>("w4a8_g32");
  row<qp::w4a8_minimum_g32>("w4a8_minimum_g32");
  row<a8<qp::w8_channel, qp::block_hadamard<128>>>("w8a8, block_hadamard<128>");
  row<a8<qp::w8_channel, qp::hadamard>>("w8a8, hadamard");
  row<a8<qp::w4a8_g32::weight_spec, qp::block_hadamard<128>>>("w4a8_g32, block_hadamard<128>");
  return true;
}();

}  // namespace

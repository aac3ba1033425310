// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Layers of integers and of signs: linear, convolution, requantization.
///
/// Rows are named layer/tokens x in_features x out_features; each checks its answer first.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/qompose.hpp"

namespace {

namespace qp = qompose;

std::vector<float> uniform_numbers(std::size_t count, std::uint64_t seed) {
  qp::random_source random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  return values;
}

/// A product of n tokens, and how fast it ran.
struct shape {
  std::size_t n;
  std::size_t in;
  std::size_t out;
  std::string name(const char* layer) const {
    return std::string(layer) + "/" + std::to_string(n) + "x" + std::to_string(in) + "x" +
           std::to_string(out);
  }
  void report(benchmark::State& state, std::size_t weight_bytes) const {
    const double runs = static_cast<double>(state.iterations());
    state.counters["mac/s"] =
        benchmark::Counter(runs * static_cast<double>(n * in * out), benchmark::Counter::kIsRate);
    state.counters["weight_bytes/s"] =
        benchmark::Counter(runs * static_cast<double>(weight_bytes), benchmark::Counter::kIsRate);
    state.SetLabel(qp::target_name());
  }
};

/// The codes that `layer` must give for row t, by 64-bit sums.
template <class Layer>
bool is_right(const Layer& layer, const std::vector<std::uint8_t>& x,
              const std::vector<std::uint8_t>& y, std::size_t t) {
  const auto q = layer.quantized();
  for (std::size_t r = 0; r < layer.out_features(); ++r) {
    std::int64_t sum = layer.q_bias(r);
    for (std::size_t c = 0; c < layer.in_features(); ++c) {
      sum += std::int64_t{q.code(r, c)} * x[t * layer.in_features() + c];
    }
    const std::int64_t code =
        layer.output().zero_point + layer.multiplier(r).multiply(static_cast<std::int32_t>(sum));
    if (y[t * layer.out_features() + r] != std::clamp<std::int64_t>(code, 0, 255)) return false;
  }
  return true;
}

void integer_linear(benchmark::State& state, shape s) {
  const std::vector<float> w = uniform_numbers(s.in * s.out, 1);
  const auto layer = qp::compress_integer({w.data(), s.out, s.in}, {},
                                          qp::affine<qp::uint8>::of_range(-0.5f, 0.5f),
                                          qp::affine<qp::uint8>::of_range(-8.0f, 8.0f));
  const std::vector<float> real = uniform_numbers(s.n * s.in, 2);
  std::vector<std::uint8_t> x(real.size());
  qp::quantize(layer.input(), {real.data(), s.n, s.in},
               qp::matrix_view<std::uint8_t>(x.data(), s.n, s.in));
  std::vector<std::uint8_t> y(s.n * s.out);
  const qp::matrix_view<const std::uint8_t> xs(x.data(), s.n, s.in);
  const qp::matrix_view<std::uint8_t> ys(y.data(), s.n, s.out);
  qp::workspace scratch;
  layer(xs, ys, qp::serial{}, scratch);
  if (!is_right(layer, x, y, s.n - 1)) return state.SkipWithError("a code is wrong");
  for (auto _ : state) {
    layer(xs, ys, qp::serial{}, scratch);
    benchmark::ClobberMemory();
  }
  s.report(state, layer.storage_bytes());
}

void xnor_linear(benchmark::State& state, shape s) {
  const std::vector<float> w = uniform_numbers(s.in * s.out, 1);
  const std::vector<float> x = uniform_numbers(s.n * s.in, 2);
  std::vector<float> y(s.n * s.out);
  const auto layer = qp::compress<qp::w1a1>({w.data(), s.out, s.in});
  const qp::matrix_view<const float> xs(x.data(), s.n, s.in);
  const qp::matrix_view<float> ys(y.data(), s.n, s.out);
  qp::workspace scratch;
  layer(xs, ys, qp::serial{}, scratch);
  const auto q = layer.quantized();
  const float* row = xs.row(s.n - 1);
  double beta = 0.0;
  for (std::size_t c = 0; c < s.in; ++c) beta += std::fabs(static_cast<double>(row[c]));
  beta /= static_cast<double>(s.in);
  for (std::size_t r = 0; r < s.out; ++r) {
    double dot = 0.0;
    for (std::size_t c = 0; c < s.in; ++c) {
      dot += (row[c] >= 0.0f) == (q.code(r, c) == 1) ? 1.0 : -1.0;
    }
    const double wanted = dot * beta * static_cast<double>(q.scale(r, 0));
    if (!(std::fabs(static_cast<double>(ys(s.n - 1, r)) - wanted) <= 1e-6 * std::fabs(wanted))) {
      return state.SkipWithError("a product is wrong");
    }
  }
  for (auto _ : state) {
    layer(xs, ys, qp::serial{}, scratch);
    benchmark::ClobberMemory();
  }
  s.report(state, layer.storage_bytes());
}

/// 3 x 3 windows of a square image, padded; the pixel in the middle is checked.
template <class Compress>
void convolution(benchmark::State& state, std::size_t side, std::size_t in, std::size_t out,
                 const Compress& compress, double tolerance) {
  const std::vector<float> w = uniform_numbers(9 * in * out, 1);
  const std::vector<float> x = uniform_numbers(side * side * in, 2);
  std::vector<float> y(side * side * out);
  const auto layer = compress(qp::matrix_view<const float>(w.data(), out, 9 * in),
                              qp::conv2d_window::same_padding({3, 3}, {1, 1}, {1, 1}));
  const qp::matrix_view<const float> xs(x.data(), side * side, in);
  const qp::matrix_view<float> ys(y.data(), side * side, out);
  const qp::image_batch images{1, side, side};
  qp::conv2d_workspace scratch;
  constexpr bool in_codes = requires { layer.groups()[0].input(); };
  std::vector<std::uint8_t> x_codes(x.size());
  std::vector<std::uint8_t> y_codes(y.size());
  const qp::matrix_view<std::uint8_t> x_view(x_codes.data(), xs.rows(), in);
  const qp::matrix_view<std::uint8_t> y_view(y_codes.data(), ys.rows(), out);
  const auto run = [&] {
    if constexpr (in_codes) {
      layer(x_view, images, y_view, qp::serial{}, scratch);
    } else {
      layer(xs, images, ys, qp::serial{}, scratch);
    }
  };
  if constexpr (in_codes) qp::quantize(layer.groups()[0].input(), xs, x_view);
  run();
  if constexpr (in_codes) qp::dequantize(layer.groups()[0].output(), y_view, ys);
  const std::size_t middle = side / 2;
  double error = 0.0;
  double size = 0.0;
  for (std::size_t o = 0; o < out; ++o) {
    double wanted = 0.0;
    for (std::size_t tap = 0; tap < 9; ++tap) {
      const std::size_t pixel = (middle + tap / 3 - 1) * side + middle + tap % 3 - 1;
      for (std::size_t c = 0; c < in; ++c) {
        wanted +=
            static_cast<double>(w[(o * 9 + tap) * in + c]) * static_cast<double>(xs(pixel, c));
      }
    }
    error += std::pow(static_cast<double>(ys(middle * side + middle, o)) - wanted, 2.0);
    size += wanted * wanted;
  }
  if (!(error <= tolerance * tolerance * size)) return state.SkipWithError("a pixel is wrong");
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  shape{side * side, 9 * in, out}.report(state, layer.storage_bytes());
}

[[maybe_unused]] const bool registered = [] {
  for (const std::size_t n : {1u, 16u, 128u}) {
    const shape s{n, 4096, 4096};
    benchmark::RegisterBenchmark(s.name("integer_linear").c_str(), integer_linear, s);
    benchmark::RegisterBenchmark(s.name("w1a1").c_str(), xnor_linear, s);
  }
  const auto add = [](const char* name, const auto& compress, double tolerance) {
    benchmark::RegisterBenchmark(
        (std::string("conv2d_3x3/") + name + "/56x56x64x64").c_str(),
        [=](benchmark::State& state) { convolution(state, 56, 64, 64, compress, tolerance); });
  };
  add("fp32", [](auto w, auto window) { return qp::compress_conv2d<qp::fp32>(w, window); }, 1e-5);
  add("w8a8", [](auto w, auto window) { return qp::compress_conv2d<qp::w8a8>(w, window); }, 0.02);
  add(
      "integer",
      [](auto w, auto window) {
        const auto output = qp::affine<qp::uint8>::of_range(-10.0f, 10.0f);
        return qp::compress_integer_conv2d(
            w, window, 1, {}, qp::affine<qp::uint8>::of_range(-0.5f, 0.5f), output, output.all());
      },
      0.03);
  // Signs keep the direction, not the numbers: uniform ones lose half on either side.
  add("w1a1", [](auto w, auto window) { return qp::compress_conv2d<qp::w1a1>(w, window); }, 1.0);
  return true;
}();

}  // namespace

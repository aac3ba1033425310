// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Benchmarks of quantizing and dequantizing one spec, which refuse to time a wrong answer.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"

namespace qompose_bench {

namespace qp = qompose;

/// Seeded normal numbers, [rows, cols].
inline std::vector<float> normal_numbers(std::size_t rows, std::size_t cols) {
  std::vector<float> values(rows * cols);
  qp::random_source random(1);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

/// The code of one element by scalar code, given what is stored beside it.
template <class Spec>
auto scalar_code(const qp::quantized_matrix<Spec>& q, float x, std::size_t r, std::size_t c) {
  if constexpr (qp::number_format<Spec>) {
    return Spec::encode(x);
  } else if constexpr (qp::learned_format<typename Spec::element>) {
    constexpr std::size_t count = Spec::element::entries;
    float entries[count];
    for (std::size_t k = 0; k < count; ++k) entries[k] = q.codebooks().value(q.codebook(r, c), k);
    return Spec::element::encode(entries, x / q.scale(r, c));
  } else {
    return qp::detail::encode_scaled<typename Spec::element, typename Spec::zero_type>(
        x, q.scale(r, c), q.zero_or_minimum(r, c));
  }
}

/// What is wrong with a quantized matrix or its floats, or nothing. Codes of ternary weights and of
/// progressive scales depend on more than what is stored, so for these only the floats are checked.
template <class Spec>
std::string fault_of(const qp::quantized_matrix<Spec>& q, const std::vector<float>& x,
                     const std::vector<float>& y) {
  constexpr bool codes_follow = [] {
    if constexpr (qp::number_format<Spec>) {
      return true;
    } else {
      return !std::is_same_v<typename Spec::element, qp::ternary> &&
             !qp::is_progressive<typename Spec::scale_type::format>;
    }
  }();
  for (std::size_t r = 0; r < q.rows(); ++r) {
    for (std::size_t c = 0; c < q.cols(); ++c) {
      const std::size_t i = r * q.cols() + c;
      if (codes_follow && q.code(r, c) != scalar_code(q, x[i], r, c)) return "a code is wrong";
      // A sum with a minimum may be fused with its product.
      const float slack = 0x1p-22f * (std::fabs(q.value(r, c)) + std::fabs(q.offset(r, c)));
      if (!(std::fabs(y[i] - q.value(r, c)) <= slack)) return "a value is wrong";
    }
  }
  return {};
}
template <qp::number_format Spec>
std::string fault_of(const qp::quantized_matrix<Spec>& q, const std::vector<float>& x,
                     const std::vector<float>& y) {
  for (std::size_t c = 0; c < x.size(); ++c) {
    const std::size_t r = c / q.cols();
    if (q.code(r, c % q.cols()) != Spec::encode(x[c])) return "a code is wrong";
    if (y[c] != q.value(r, c % q.cols())) return "a value is wrong";
  }
  return {};
}

/// One pair of rows of the table: `quantize/<name>/<rows>x<cols>` and `dequantize/...`.
template <class Spec>
void register_rows(const std::string& name, std::size_t rows, std::size_t cols) {
  const std::string shape = name + "/" + std::to_string(rows) + "x" + std::to_string(cols);
  const auto report = [rows, cols](benchmark::State& state) {
    // Bytes of floats, read by quantizing and written by dequantizing.
    const auto bytes = static_cast<std::int64_t>(rows * cols * sizeof(float));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * bytes);
    state.SetLabel(qp::target_name());
  };
  benchmark::RegisterBenchmark(("quantize/" + shape).c_str(), [=](benchmark::State& state) {
    const std::vector<float> x = normal_numbers(rows, cols);
    std::vector<float> y(x.size());
    const qp::matrix_view<const float> view(x.data(), rows, cols);
    const auto checked = qp::quantize<Spec>(view);
    qp::dequantize(checked, qp::matrix_view<float>(y.data(), rows, cols));
    const std::string fault = fault_of(checked, x, y);
    if (!fault.empty()) return state.SkipWithError(fault.c_str());
    for (auto _ : state) {
      auto q = qp::quantize<Spec>(view);
      benchmark::DoNotOptimize(q);
    }
    report(state);
  });
  benchmark::RegisterBenchmark(("dequantize/" + shape).c_str(), [=](benchmark::State& state) {
    const std::vector<float> x = normal_numbers(rows, cols);
    std::vector<float> y(x.size());
    const auto q = qp::quantize<Spec>(qp::matrix_view<const float>(x.data(), rows, cols));
    const qp::matrix_view<float> out(y.data(), rows, cols);
    qp::dequantize(q, out);
    const std::string fault = fault_of(q, x, y);
    if (!fault.empty()) return state.SkipWithError(fault.c_str());
    for (auto _ : state) {
      qp::dequantize(q, out);
      benchmark::ClobberMemory();
    }
    report(state);
  });
}

}  // namespace qompose_bench

// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Transforms of one row of floats in L1 or L2; items are elements, bytes the floats read.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/random.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/types.hpp"

namespace {

namespace qp = qompose;

/// A transform's kernel on the best target.
template <class Transform>
auto kernel() {
  return qp::detail::with_best_target<qp::isa_tag>(
      []<class Target>() { return &Target::template transform_row<Transform>::Run; });
}

/// One row of n elements, to another row; refuses to time a result that is not the scalar code's.
template <class Transform>
void row(const std::string& name, std::size_t n, const typename Transform::data& data) {
  const auto run = [=](benchmark::State& state) {
    qp::aligned_buffer<float> x(n);
    qp::aligned_buffer<float> y(n);
    qp::random_source random(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(random.normal());
    qp::aligned_buffer<float> wanted = x;
    Transform::forward(data, wanted.data(), n);
    const auto transform = kernel<Transform>();
    transform(data, x.data(), y.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      if (y[i] != wanted[i]) return state.SkipWithError("an element differs from the scalar code");
    }
    for (auto _ : state) {
      transform(data, x.data(), y.data(), n);
      benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) *
                            static_cast<std::int64_t>(n));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                            static_cast<std::int64_t>(n * sizeof(float)));
    state.SetLabel(qp::target_name());
  };
  benchmark::RegisterBenchmark(("transform/" + name + "/" + std::to_string(n)).c_str(), run);
}
template <class Transform>
void row(const std::string& name, std::size_t n) {
  row<Transform>(name, n, qp::detail::transform_data_for<Transform>(n));
}

[[maybe_unused]] const bool registered = [] {
  row<qp::block_hadamard<64>>("block_hadamard<64>", 4096);
  row<qp::block_hadamard<128>>("block_hadamard<128>", 4096);
  for (const std::size_t n : {128u, 1024u, 4096u, 16384u, 65536u}) {
    row<qp::hadamard>("hadamard", n);
  }
  // K = 36, 12, 20, 28, 172 and 28.
  for (const std::size_t n : {576u, 768u, 5120u, 14336u, 11008u, 28672u}) {
    row<qp::hadamard>("hadamard", n);
  }
  row<qp::random_signs<1>>("random_signs", 4096);
  row<qp::then<qp::random_signs<1>, qp::hadamard>>("then<random_signs, hadamard>", 4096);
  row<qp::channel_scale>("channel_scale", 4096,
                         qp::channel_scale::data(std::vector<float>(4096, 0.75f)));
  return true;
}();

}  // namespace

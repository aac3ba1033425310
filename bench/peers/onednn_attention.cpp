// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief oneDNN 3: attention as a graph of two matmuls and a softmax, which it fuses, on f32.

#include <dnnl.hpp>

#if DNNL_VERSION_MAJOR >= 3

#if defined(_OPENMP)
#include <omp.h>
#endif
#include <oneapi/dnnl/dnnl_graph.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "attention/work.hpp"
#include "qompose/core/aligned_buffer.hpp"

namespace qompose_bench {
namespace {

namespace graph = dnnl::graph;
using graph::logical_tensor;
using graph::op;
using dims = logical_tensor::dims;

/// Caches [n_kv_heads][tokens][head_dim], and a mask of 0 and -inf that is added to the scores.
class onednn_attention final : public attention_work {
 public:
  explicit onednn_attention(std::size_t tokens)
      : tokens_(tokens), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    keep_copies(1);
  }

  void keep_copies(std::size_t count) override {
    while (caches_.size() > count) caches_.pop_back();
    while (caches_.size() < count) caches_.push_back({by_head(keys_of), by_head(values_of)});
  }
  void take(qp::matrix_view<const float> q, std::size_t threads) override {
#if defined(_OPENMP)
    omp_set_num_threads(static_cast<int>(threads));
#else
    if (threads > 1) throw std::runtime_error("built without OpenMP");
#endif
    n_ = q.rows();
    queries_ = qp::aligned_buffer<float>(n_ * q.cols());
    results_ = qp::aligned_buffer<float>(n_ * q.cols());
    std::memcpy(queries_.data(), q.data(), n_ * q.cols() * sizeof(float));
    mask_ = qp::aligned_buffer<float>(n_ * tokens_);
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t t = 0; t < tokens_; ++t) {
        mask_[i * tokens_ + t] =
            t <= tokens_ - n_ + i ? 0.0f : -std::numeric_limits<float>::infinity();
      }
    }
    compile();
  }
  void run(std::size_t copy) override {
    for (auto& [id, tensor] : inputs_) {
      if (id == keys_id) tensor.set_data_handle(caches_[copy].keys.data());
      if (id == values_id) tensor.set_data_handle(caches_[copy].values.data());
    }
    std::vector<graph::tensor> inputs;
    for (const auto& [id, tensor] : inputs_) inputs.push_back(tensor);
    compiled_.execute(stream_, inputs, outputs_);
    stream_.wait();
  }
  [[nodiscard]] qp::matrix_view<const float> results() const override {
    return {results_.data(), n_, n_heads * head_dim};
  }
  [[nodiscard]] stored_head stored(std::size_t kv_head) const override {
    const auto head = [&](const qp::aligned_buffer<float>& side) {
      const float* first = side.data() + kv_head * tokens_ * head_dim;
      return std::vector<float>(first, first + tokens_ * head_dim);
    };
    return {head(caches_.front().keys), head(caches_.front().values)};
  }
  [[nodiscard]] roundings rounded() const override { return {}; }
  [[nodiscard]] std::size_t cache_bytes() const override {
    return 2 * n_kv_heads * tokens_ * head_dim * sizeof(float);
  }
  [[nodiscard]] bool uses_integers() const override { return false; }

 private:
  struct cache {
    qp::aligned_buffer<float> keys;
    qp::aligned_buffer<float> values;
  };
  struct input {
    std::size_t id;
    graph::tensor tensor;
  };
  static constexpr std::size_t queries_id = 0;
  static constexpr std::size_t keys_id = 1;
  static constexpr std::size_t values_id = 2;
  static constexpr std::size_t scale_id = 3;
  static constexpr std::size_t mask_id = 4;

  qp::aligned_buffer<float> by_head(qp::matrix_view<const float> (*of)(std::size_t)) const {
    const qp::matrix_view<const float> tokens = of(tokens_);
    qp::aligned_buffer<float> out(tokens_ * n_kv_heads * head_dim);
    for (std::size_t h = 0; h < n_kv_heads; ++h) {
      for (std::size_t t = 0; t < tokens_; ++t) {
        std::memcpy(out.data() + (h * tokens_ + t) * head_dim, tokens.row(t) + h * head_dim,
                    head_dim * sizeof(float));
      }
    }
    return out;
  }

  /// Shapes are [batch, KV head, query head of its group, query or token, element].
  void compile() {
    constexpr auto f32 = logical_tensor::data_type::f32;
    const auto dim = [](std::size_t n) { return static_cast<logical_tensor::dim>(n); };
    const logical_tensor::dim n = dim(n_);
    const logical_tensor::dim t = dim(tokens_);
    constexpr logical_tensor::dim heads = n_kv_heads;
    constexpr logical_tensor::dim group = head_group;
    constexpr logical_tensor::dim d = head_dim;
    const dims by_query{1, heads, group, n, d};
    const dims query_strides{n * heads * group * d, group * d, d, heads * group * d, 1};
    const dims by_token{1, heads, 1, t, d};
    const dims token_strides{heads * t * d, t * d, t * d, d, 1};
    const logical_tensor q(queries_id, f32, by_query, query_strides);
    const logical_tensor k(keys_id, f32, by_token, token_strides);
    const logical_tensor v(values_id, f32, by_token, token_strides);
    const logical_tensor scale(scale_id, f32, dims{1}, dims{1});
    const logical_tensor mask(mask_id, f32, dims{1, 1, 1, n, t}, dims{n * t, n * t, n * t, t, 1});
    const logical_tensor y(5, f32, by_query, query_strides);
    std::size_t id = 6;
    const auto scores = [&] {
      return logical_tensor(id++, f32, dims{1, heads, group, n, t},
                            logical_tensor::layout_type::strided);
    };
    const logical_tensor products = scores();
    const logical_tensor scaled = scores();
    const logical_tensor masked = scores();
    const logical_tensor weights = scores();
    op multiply_keys(0, op::kind::MatMul, {q, k}, {products}, "multiply_keys");
    multiply_keys.set_attr<bool>(op::attr::transpose_b, true);
    const op scaling(1, op::kind::Multiply, {products, scale}, {scaled}, "scaling");
    const op masking(2, op::kind::Add, {scaled, mask}, {masked}, "masking");
    op softmax(3, op::kind::SoftMax, {masked}, {weights}, "softmax");
    softmax.set_attr<std::int64_t>(op::attr::axis, -1);
    const op multiply_values(4, op::kind::MatMul, {weights, v}, {y}, "multiply_values");

    graph::graph all(dnnl::engine::kind::cpu);
    for (const op& one : {multiply_keys, scaling, masking, softmax, multiply_values}) {
      all.add_op(one);
    }
    all.finalize();
    const std::vector<graph::partition> parts = all.get_partitions();
    if (parts.size() != 1 || !parts.front().is_supported()) {
      throw std::runtime_error("oneDNN does not fuse attention here");
    }
    const std::vector<logical_tensor> from = parts.front().get_input_ports();
    compiled_ = parts.front().compile(from, parts.front().get_output_ports(), engine_);
    inputs_.clear();
    for (const logical_tensor& one : from) {
      inputs_.push_back({one.get_id(), graph::tensor(one, engine_, memory_of(one.get_id()))});
    }
    outputs_ = {graph::tensor(y, engine_, results_.data())};
  }
  void* memory_of(std::size_t id) {
    switch (id) {
      case queries_id:
        return queries_.data();
      case keys_id:
        return caches_.front().keys.data();
      case values_id:
        return caches_.front().values.data();
      case scale_id:
        return &scale_;
      default:
        return mask_.data();
    }
  }

  std::size_t tokens_;
  std::size_t n_ = 0;
  float scale_ = 1.0f / std::sqrt(static_cast<float>(head_dim));
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::vector<cache> caches_;
  qp::aligned_buffer<float> queries_;
  qp::aligned_buffer<float> mask_;
  qp::aligned_buffer<float> results_;
  graph::compiled_partition compiled_;
  std::vector<input> inputs_;
  std::vector<graph::tensor> outputs_;
};

[[maybe_unused]] const bool added = [] {
  attention_cases().push_back(
      {"peer/onednn_attention/f32", [](std::size_t tokens) -> std::unique_ptr<attention_work> {
         return std::make_unique<onednn_attention>(tokens);
       }});
  return true;
}();

}  // namespace
}  // namespace qompose_bench

#endif

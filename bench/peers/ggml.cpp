// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief ggml: its flash attention over caches of floats and of its own blocks.

#include <ggml-backend.h>
#include <ggml.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "attention/work.hpp"
#include "qompose/core/aligned_buffer.hpp"
#include "qompose/formats/fp16.hpp"

namespace qompose_bench {
namespace {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
using ggml_context_owner = std::unique_ptr<ggml_context, freed_by<&ggml_free>>;
using ggml_buffer_owner = std::unique_ptr<ggml_backend_buffer, freed_by<&ggml_backend_buffer_free>>;

/// The processor, by whichever of ggml's builds fits it best.
ggml_backend_t processor() {
  static const ggml_backend_t backend = [] {
    // Or it prints what it loads.
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    ggml_backend_load_all();
    return ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
  }();
  if (backend == nullptr) throw std::runtime_error("ggml has nothing for this processor");
  return backend;
}

void set_threads(std::size_t threads) {
  const ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(processor()));
  const auto set = reinterpret_cast<ggml_backend_set_n_threads_t>(
      ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads"));
  if (set == nullptr) throw std::runtime_error("ggml cannot set the number of threads");
  set(processor(), static_cast<int>(threads));
}

/// Memory of ours, with its large pages, that tensors of ggml lie in.
class ggml_memory {
 public:
  explicit ggml_memory(std::size_t bytes)
      : bytes_(bytes), buffer_(ggml_backend_cpu_buffer_from_ptr(bytes_.data(), bytes)) {}

  /// Places a tensor at the start.
  void hold(ggml_tensor* tensor) {
    if (ggml_backend_tensor_alloc(buffer_.get(), tensor, bytes_.data()) != GGML_STATUS_SUCCESS) {
      throw std::runtime_error("ggml: a tensor does not fit");
    }
  }
  [[nodiscard]] std::byte* data() { return bytes_.data(); }
  [[nodiscard]] const std::byte* data() const { return bytes_.data(); }

 private:
  qp::aligned_buffer<std::byte> bytes_;
  ggml_buffer_owner buffer_;
};

/// Caches [n_kv_heads][tokens][head_dim], and a mask of 0 and -inf. llama.cpp keeps
/// [tokens][n_kv_heads][head_dim], with which decoding took two to five times as long.
class ggml_attention final : public attention_work {
 public:
  ggml_attention(std::size_t tokens, ggml_type type, const roundings& rounded)
      : tokens_(tokens), type_(type), rounded_(rounded) {
    keep_copies(1);
  }

  void keep_copies(std::size_t count) override {
    while (caches_.size() > count) caches_.pop_back();
    while (caches_.size() < count) {
      caches_.push_back(std::make_unique<cache>(side_bytes()));
      encode(keys_of(tokens_), caches_.back()->keys.data());
      encode(values_of(tokens_), caches_.back()->values.data());
    }
  }
  void take(qp::matrix_view<const float> q, std::size_t threads) override {
    set_threads(threads);
    const std::size_t bytes = q.rows() * q.cols() * sizeof(float);
    queries_ = std::make_unique<ggml_memory>(bytes);
    results_ = std::make_unique<ggml_memory>(bytes);
    std::memcpy(queries_->data(), q.data(), bytes);
    n_ = q.rows();
    make_mask();
    // One for all: old versions have no more than 64.
    constexpr std::size_t tensors = 16;
    context_.reset(
        ggml_init({caches_.size() * (tensors * ggml_tensor_overhead() + ggml_graph_overhead()),
                   nullptr, true}));
    for (const auto& one : caches_) plan(*one);
  }
  void run(std::size_t copy) override {
    if (ggml_backend_graph_compute(processor(), caches_[copy]->graph) != GGML_STATUS_SUCCESS) {
      throw std::runtime_error("ggml: attention failed");
    }
  }
  [[nodiscard]] qp::matrix_view<const float> results() const override {
    return {reinterpret_cast<const float*>(results_->data()), n_, n_heads * head_dim};
  }
  [[nodiscard]] stored_head stored(std::size_t kv_head) const override {
    return {decode(caches_.front()->keys.data(), kv_head),
            decode(caches_.front()->values.data(), kv_head)};
  }
  [[nodiscard]] roundings rounded() const override { return rounded_; }
  [[nodiscard]] std::size_t cache_bytes() const override { return 2 * side_bytes(); }
  [[nodiscard]] bool uses_integers() const override { return ggml_is_quantized(type_); }

 private:
  struct cache {
    explicit cache(std::size_t bytes) : keys(bytes), values(bytes) {}
    ggml_memory keys;
    ggml_memory values;
    ggml_cgraph* graph = nullptr;
  };

  [[nodiscard]] std::size_t row_bytes() const { return ggml_row_size(type_, head_dim); }
  [[nodiscard]] std::size_t side_bytes() const { return n_kv_heads * tokens_ * row_bytes(); }

  void encode(qp::matrix_view<const float> tokens, std::byte* out) const {
    const auto from_float = ggml_get_type_traits(type_)->from_float_ref;
    for (std::size_t h = 0; h < n_kv_heads; ++h) {
      for (std::size_t t = 0; t < tokens_; ++t) {
        from_float(tokens.row(t) + h * head_dim, out + (h * tokens_ + t) * row_bytes(), head_dim);
      }
    }
  }
  [[nodiscard]] std::vector<float> decode(const std::byte* side, std::size_t kv_head) const {
    std::vector<float> rows(tokens_ * head_dim);
    ggml_get_type_traits(type_)->to_float(side + kv_head * tokens_ * row_bytes(), rows.data(),
                                          dim(rows.size()));
    return rows;
  }
  void make_mask() {
    mask_ = std::make_unique<ggml_memory>(n_ * tokens_ * sizeof(std::uint16_t));
    auto* mask = reinterpret_cast<std::uint16_t*>(mask_->data());
    const std::uint16_t hidden = qp::fp16::encode(-std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t t = 0; t < tokens_; ++t) {
        mask[i * tokens_ + t] = t <= tokens_ - n_ + i ? std::uint16_t{0} : hidden;
      }
    }
  }
  /// The graph of one call.
  void plan(cache& over) const {
    ggml_context* context = context_.get();
    const auto side = [&](ggml_memory& memory) {
      ggml_tensor* all = ggml_new_tensor_3d(context, type_, head_dim, dim(tokens_), n_kv_heads);
      memory.hold(all);
      return all;
    };
    ggml_tensor* keys = side(over.keys);
    ggml_tensor* values = side(over.values);
    ggml_tensor* queries = ggml_new_tensor_3d(context, GGML_TYPE_F32, head_dim, n_heads, dim(n_));
    queries_->hold(queries);
    ggml_tensor* mask = ggml_new_tensor_2d(context, GGML_TYPE_F16, dim(tokens_), dim(n_));
    mask_->hold(mask);
    ggml_tensor* y = ggml_flash_attn_ext(
        context, viewed(ggml_permute(context, queries, 0, 2, 1, 3)), keys, values, mask,
        1.0f / std::sqrt(static_cast<float>(head_dim)), 0.0f, 0.0f);
    results_->hold(y);
    if (!ggml_backend_supports_op(processor(), y)) {
      throw std::runtime_error(std::string("ggml has no attention over ") + ggml_type_name(type_));
    }
    over.graph = ggml_new_graph(context);
    ggml_build_forward_expand(over.graph, y);
  }

  static std::int64_t dim(std::size_t n) { return static_cast<std::int64_t>(n); }
  static ggml_tensor* viewed(ggml_tensor* view) {
    if (ggml_backend_view_init(view) != GGML_STATUS_SUCCESS) {
      throw std::runtime_error("ggml: no view");
    }
    return view;
  }

  std::size_t tokens_;
  ggml_type type_;
  roundings rounded_;
  std::size_t n_ = 0;
  ggml_context_owner context_;
  std::unique_ptr<ggml_memory> queries_;
  std::unique_ptr<ggml_memory> mask_;
  std::unique_ptr<ggml_memory> results_;
  std::vector<std::unique_ptr<cache>> caches_;
};

[[maybe_unused]] const bool added = [] {
  const auto add = [](const char* name, ggml_type type, const roundings& rounded) {
    attention_cases().push_back({std::string("peer/ggml_attention/") + name,
                                 [=](std::size_t tokens) -> std::unique_ptr<attention_work> {
                                   return std::make_unique<ggml_attention>(tokens, type, rounded);
                                 }});
  };
  // Queries take the form that ggml multiplies keys in: their own, or blocks of 32 int8 codes with
  // a scale in fp16. Over values in fp16 the running sum is fp16 too.
  constexpr double fp16_step = 0x1p-11;
  constexpr double int8_step = 0.5 / 127.0 + 0x1p-11;
  add("f16", GGML_TYPE_F16, {.queries = fp16_step, .sums = fp16_step});
  add("bf16", GGML_TYPE_BF16, {.queries = 0x1p-8});
  add("q8_0", GGML_TYPE_Q8_0, {.queries = int8_step});
  add("q4_0", GGML_TYPE_Q4_0, {.queries = int8_step});
  return true;
}();

}  // namespace
}  // namespace qompose_bench

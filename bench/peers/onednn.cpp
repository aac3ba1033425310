// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief oneDNN 2 and 3: its matmul on u8 x s8, s8 x s8, f32 and bf16.

#include <dnnl.hpp>
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <cstring>
#include <unordered_map>

#include "peers/peer.hpp"
#include "qompose/core/aligned_buffer.hpp"
#include "qompose/formats/bf16.hpp"

namespace qompose_bench {
namespace {

using type = dnnl::memory::data_type;
using dnnl::memory;

memory::dim dim(std::size_t n) { return static_cast<memory::dim>(n); }

/// Integers have one scale a row of W and one for all activations; results are floats.
class onednn_matmul final : public peer_product {
 public:
  onednn_matmul(const shape& size, type activations, type weights)
      : peer_product(size),
        x_type_(activations),
        w_type_(weights),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_) {
    if (is_integer()) {
      // Without VNNI, oneDNN adds pairs of u8 x s8 products in 16 bits, and s8 becomes u8 by adding
      // 128: with codes of up to 63 against those, and of seven bits against u8, nothing overflows.
      const int limit = x_type_ == type::u8 ? 127 : 63;
      rows_.emplace_back(distinct_, size.in, size.in, limit, [](float s) { return s; });
    } else if (w_type_ == type::bf16) {
      for (float& w : distinct_) w = qp::bf16::decode(qp::bf16::encode(w));
    }
  }

  void keep_copies(std::size_t count) override { count_ = count; }

  void take(qp::matrix_view<const float> x, std::size_t threads) override {
#if defined(_OPENMP)
    omp_set_num_threads(static_cast<int>(threads));
#else
    if (threads > 1) throw std::runtime_error("built without OpenMP");
#endif
    const std::size_t n = x.rows();
    y_.assign(n * size_.out, 0.0f);
    take_tokens(x);
    const memory::desc x_desc({dim(n), dim(size_.in)}, x_type_, memory::format_tag::ab);
    const memory::desc any({dim(size_.in), dim(size_.out)}, w_type_, memory::format_tag::any);
    const memory::desc y_desc({dim(n), dim(size_.out)}, type::f32, memory::format_tag::ab);
    const std::vector<float> scales = result_scales();
    dnnl::primitive_attr attributes;
#if DNNL_VERSION_MAJOR >= 3
    if (is_integer()) attributes.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    const dnnl::matmul::primitive_desc plan(engine_, x_desc, any, y_desc, attributes);
#else
    if (is_integer()) attributes.set_output_scales(1 << 1, scales);
    const dnnl::matmul::desc wanted(x_desc, any, y_desc);
    const dnnl::matmul::primitive_desc plan(wanted, attributes, engine_);
#endif
    if (std::strstr(plan.impl_info_str(), "ref") != nullptr) {
      throw std::runtime_error(std::string("oneDNN has nothing but reference code here: ") +
                               plan.impl_info_str());
    }
    matmul_ = dnnl::matmul(plan);
    reorder_weights(plan.weights_desc());
    arguments_ = {{DNNL_ARG_SRC, memory(x_desc, engine_, tokens_.data())},
                  {DNNL_ARG_DST, memory(y_desc, engine_, y_.data())}};
#if DNNL_VERSION_MAJOR >= 3
    if (is_integer()) {
      scales_ = scales;
      arguments_.insert({DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS,
                         memory(memory::desc({dim(size_.out)}, type::f32, memory::format_tag::a),
                                engine_, scales_.data())});
    }
#endif
  }
  void run(std::size_t copy) override {
    arguments_[DNNL_ARG_WEIGHTS] = weights_[copy];
    matmul_.execute(stream_, arguments_);
    stream_.wait();
  }

  [[nodiscard]] expected_products expect(qp::matrix_view<const float> x) const override {
    if (!is_integer()) {
      std::vector<scalar_token> tokens = plain_tokens(x);
      for (scalar_token& token : tokens) {
        if (x_type_ != type::bf16) continue;
        for (double& value : token.codes) {
          value =
              static_cast<double>(qp::bf16::decode(qp::bf16::encode(static_cast<float>(value))));
        }
      }
      return scalar_products(plain_weights(distinct_, size_.in), tokens, sums::rounded);
    }
    std::vector<scalar_token> tokens;
    for (std::size_t t = 0; t < x.rows(); ++t) {
      scalar_token token;
      token.scale = x_scale_;
      for (std::size_t c = 0; c < size_.in; ++c) {
        const std::uint8_t code = tokens_[t * size_.in + c];
        token.codes.push_back(x_type_ == type::u8
                                  ? static_cast<double>(code)
                                  : static_cast<double>(static_cast<std::int8_t>(code)));
      }
      tokens.push_back(std::move(token));
    }
    return scalar_products(rows_.front().decoded(size_.in, size_.in), tokens, sums::rounded);
  }
  [[nodiscard]] qp::layer_cost cost(std::size_t n) const override {
    const double element = static_cast<double>(memory::data_type_size(w_type_));
    const double scales = is_integer() ? sizeof(float) * static_cast<double>(size_.out) : 0.0;
    return cost_of(n, element * static_cast<double>(size_.out * size_.in) + scales, sizeof(float),
                   is_integer());
  }

 private:
  [[nodiscard]] bool is_integer() const { return w_type_ == type::s8; }

  /// Bytes of the tokens. Unsigned codes are those of the positive part.
  void take_tokens(qp::matrix_view<const float> x) {
    const std::size_t count = x.rows() * x.cols();
    tokens_ = qp::aligned_buffer<std::uint8_t>(count * memory::data_type_size(x_type_));
    if (x_type_ == type::f32) {
      std::memcpy(tokens_.data(), x.data(), count * sizeof(float));
    } else if (x_type_ == type::bf16) {
      for (std::size_t i = 0; i < count; ++i) {
        const auto code = qp::bf16::encode(x.data()[i]);
        std::memcpy(tokens_.data() + i * sizeof(code), &code, sizeof(code));
      }
    } else {
      const float peak = *std::max_element(
          x.data(), x.data() + count, [](float a, float b) { return std::abs(a) < std::abs(b); });
      x_scale_ = std::abs(peak) / 127.0f;
      for (std::size_t i = 0; i < count; ++i) {
        const float value = x_type_ == type::u8 ? std::max(x.data()[i], 0.0f) : x.data()[i];
        const auto code = static_cast<std::int8_t>(std::nearbyint(value / x_scale_));
        std::memcpy(tokens_.data() + i, &code, 1);
      }
    }
  }
  [[nodiscard]] std::vector<float> result_scales() const {
    if (!is_integer()) return {};
    std::vector<float> scales = all_rows(rows_.front().scales, 1);
    for (float& scale : scales) scale *= x_scale_;
    return scales;
  }
  /// The weights as the plan wants them, each copy in memory of its own.
  void reorder_weights(const memory::desc& wanted) {
    qp::aligned_buffer<std::uint8_t> plain(size_.out * size_.in * memory::data_type_size(w_type_));
    if (is_integer()) {
      const auto all = all_rows(rows_.front().codes, size_.in);
      std::memcpy(plain.data(), all.data(), all.size());
    } else {
      const auto all = all_rows(distinct_, size_.in);
      if (w_type_ == type::f32) std::memcpy(plain.data(), all.data(), all.size() * sizeof(float));
      for (std::size_t i = 0; w_type_ == type::bf16 && i < all.size(); ++i) {
        const auto code = qp::bf16::encode(all[i]);
        std::memcpy(plain.data() + i * sizeof(code), &code, sizeof(code));
      }
    }
    memory from(memory::desc({dim(size_.in), dim(size_.out)}, w_type_, memory::format_tag::ba),
                engine_, plain.data());
    buffers_.clear();
    weights_.clear();
    for (std::size_t i = 0; i < count_; ++i) {
      buffers_.emplace_back(wanted.get_size());
      weights_.emplace_back(wanted, engine_, buffers_.back().data());
      dnnl::reorder(from, weights_.back()).execute(stream_, from, weights_.back());
      stream_.wait();
    }
  }

  type x_type_;
  type w_type_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::vector<integer_rows> rows_;  ///< one for integer weights, none for others
  float x_scale_ = 1.0f;
  std::size_t count_ = 1;
  qp::aligned_buffer<std::uint8_t> tokens_;
  std::vector<float> scales_;
  std::vector<qp::aligned_buffer<std::uint8_t>> buffers_;
  std::vector<memory> weights_;
  std::unordered_map<int, memory> arguments_;
  dnnl::matmul matmul_;
};

[[maybe_unused]] const bool added = [] {
  const auto add = [](const char* name, type activations, type weights) {
    product_cases().push_back(
        {std::string("peer/onednn/") + name, [=](const shape& size) -> std::unique_ptr<product> {
           return std::make_unique<onednn_matmul>(size, activations, weights);
         }});
  };
  add("u8s8", type::u8, type::s8);
  add("s8s8", type::s8, type::s8);
  add("f32", type::f32, type::f32);
  add("bf16", type::bf16, type::bf16);
  return true;
}();

}  // namespace
}  // namespace qompose_bench

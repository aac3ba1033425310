// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief XNNPACK: fully connected layers of floats and, in versions that have them, of int8 tokens
/// with int8 and int4 weights.

#include <xnnpack.h>

#include <limits>

#include "peers/peer.hpp"
#include "qompose/formats/bf16.hpp"

#if defined(XNN_EXTRA_QUANTIZATION_PARAMS)
#define QOMPOSE_XNNPACK_DYNAMIC 1
#else
#define QOMPOSE_XNNPACK_DYNAMIC 0
#endif

namespace qompose_bench {
namespace {

void require(xnn_status status, const char* what) {
  if (status != xnn_status_success) {
    throw std::runtime_error(std::string("XNNPACK: ") + what + ": status " +
                             std::to_string(static_cast<int>(status)));
  }
}

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Operators hold their packed weights, so that each copy is one.
class xnnpack_layer : public peer_product {
 public:
  explicit xnnpack_layer(const shape& size) : peer_product(size) {
    require(xnn_initialize(nullptr), "initialize");
  }
  ~xnnpack_layer() override {
    for (xnn_operator_t layer : layers_) xnn_delete_operator(layer);
    if (pool_ != nullptr) pthreadpool_destroy(pool_);
  }
  void keep_copies(std::size_t count) override {
    while (layers_.size() > count) {
      xnn_delete_operator(layers_.back());
      layers_.pop_back();
    }
    while (layers_.size() < count) layers_.push_back(create());
  }
  void run(std::size_t copy) override { require(xnn_run_operator(layers_[copy], pool_), "run"); }

 protected:
  virtual xnn_operator_t create() = 0;

  void make_threads(std::size_t threads) {
    if (pool_ != nullptr) pthreadpool_destroy(pool_);
    pool_ = threads == 1 ? nullptr : pthreadpool_create(threads);
  }

  std::vector<xnn_operator_t> layers_;
  pthreadpool_t pool_ = nullptr;
};

class xnnpack_f32 final : public xnnpack_layer {
 public:
  explicit xnnpack_f32(const shape& size)
      : xnnpack_layer(size), weights_(all_rows(distinct_, size.in)) {}

  void take(qp::matrix_view<const float> x, std::size_t threads) override {
    make_threads(threads);
    x_.assign(x.data(), x.data() + x.rows() * x.cols());
    x_.resize(x_.size() + XNN_EXTRA_BYTES / sizeof(float));
    y_.assign(x.rows() * size_.out, 0.0f);
    for (xnn_operator_t layer : layers_) {
#if QOMPOSE_XNNPACK_DYNAMIC
      require(xnn_reshape_fully_connected_nc_f32(layer, x.rows(), pool_), "reshape f32");
      require(xnn_setup_fully_connected_nc_f32(layer, x_.data(), y_.data()), "setup f32");
#else
      require(xnn_setup_fully_connected_nc_f32(layer, x.rows(), x_.data(), y_.data(), pool_),
              "setup f32");
#endif
    }
  }
  [[nodiscard]] expected_products expect(qp::matrix_view<const float> x) const override {
    return scalar_products(plain_weights(distinct_, size_.in), plain_tokens(x), sums::rounded);
  }
  [[nodiscard]] qp::layer_cost cost(std::size_t n) const override {
    return cost_of(n, static_cast<double>(size_.out * size_.in * sizeof(float)), sizeof(float),
                   false);
  }

 private:
  xnn_operator_t create() override {
    xnn_operator_t layer = nullptr;
    require(xnn_create_fully_connected_nc_f32(size_.in, size_.out, size_.in, size_.out,
                                              weights_.data(), nullptr, -infinity, infinity, 0,
#if QOMPOSE_XNNPACK_DYNAMIC
                                              nullptr, nullptr,
#endif
                                              &layer),
            "create f32");
    return layer;
  }
  std::vector<float> weights_;
  std::vector<float> x_;
};

#if QOMPOSE_XNNPACK_DYNAMIC

enum class weights { qc8w, qc4w, qb4w };

/// int8 tokens, each with a scale, and int8 or int4 weights with a scale a row or a block.
class xnnpack_qd8 final : public xnnpack_layer {
 public:
  xnnpack_qd8(const shape& size, weights kind, std::size_t block)
      : xnnpack_layer(size),
        kind_(kind),
        block_(block == 0 ? size.in : block),
        rows_(distinct_, size.in, block_, kind == weights::qc8w ? 127 : 7, [kind](float s) {
          return kind == weights::qb4w ? qp::bf16::decode(qp::bf16::encode(s)) : s;
        }) {
    const std::vector<std::int8_t> all = all_rows(rows_.codes, size.in);
    const std::vector<float> scales = all_rows(rows_.scales, rows_.scales.size() / distinct_rows());
    scales_ = scales;
    for (const float scale : scales) block_scales_.push_back(qp::bf16::encode(scale));
    if (kind == weights::qc8w) {
      codes_ = all;
    } else {
      // Two columns a byte, the first one low, 8 above their values.
      for (std::size_t i = 0; i < all.size(); i += 2) {
        const int byte = (all[i] + 8) | ((all[i + 1] + 8) << 4);
        codes_.push_back(static_cast<std::int8_t>(byte));
      }
    }
  }

  void take(qp::matrix_view<const float> x, std::size_t threads) override {
    make_threads(threads);
    y_.assign(x.rows() * size_.out, 0.0f);
    x_.assign(x.rows() * x.cols() + XNN_EXTRA_BYTES, 0);
    parameters_.assign(x.rows() + XNN_EXTRA_QUANTIZATION_PARAMS, {0, 1.0f});
    for (std::size_t t = 0; t < x.rows(); ++t) {
      const scalar_token token = int8_token(x.row(t), x.cols());
      for (std::size_t c = 0; c < x.cols(); ++c) {
        x_[t * x.cols() + c] = static_cast<std::int8_t>(token.codes[c]);
      }
      parameters_[t].scale = token.scale;
    }
    // Rows that a last tile lacks stand for the last token again, and have to agree with it.
    std::fill(parameters_.begin() + static_cast<std::ptrdiff_t>(x.rows()), parameters_.end(),
              parameters_[x.rows() - 1]);
    for (xnn_operator_t layer : layers_) set_up(layer, x.rows());
  }
  [[nodiscard]] expected_products expect(qp::matrix_view<const float> x) const override {
    std::vector<scalar_token> tokens;
    for (std::size_t t = 0; t < x.rows(); ++t) tokens.push_back(int8_token(x.row(t), x.cols()));
    return scalar_products(rows_.decoded(size_.in, block_), tokens, sums::rounded);
  }
  [[nodiscard]] qp::layer_cost cost(std::size_t n) const override {
    // XNNPACK keeps a sum of the codes beside each row's scales.
    const std::size_t scale_bytes = kind_ == weights::qb4w ? 2 : 4;
    const double bytes =
        static_cast<double>(codes_.size() + scales_.size() * scale_bytes + size_.out * 4);
    return cost_of(n, bytes, sizeof(float), true);
  }

 private:
  xnn_operator_t create() override {
    xnn_operator_t layer = nullptr;
    const std::size_t in = size_.in;
    const std::size_t out = size_.out;
    switch (kind_) {
      case weights::qc8w:
        require(xnn_create_fully_connected_nc_qd8_f32_qc8w(in, out, in, out, scales_.data(),
                                                           codes_.data(), nullptr, -infinity,
                                                           infinity, 0, nullptr, nullptr, &layer),
                "create qc8w");
        break;
      case weights::qc4w:
        require(xnn_create_fully_connected_nc_qd8_f32_qc4w(in, out, in, out, 8, scales_.data(),
                                                           codes_.data(), nullptr, -infinity,
                                                           infinity, 0, nullptr, nullptr, &layer),
                "create qc4w");
        break;
      case weights::qb4w:
        require(xnn_create_fully_connected_nc_qd8_f32_qb4w(
                    in, out, in, out, block_, 8, block_scales_.data(), codes_.data(), nullptr,
                    -infinity, infinity, 0, nullptr, nullptr, &layer),
                "create qb4w");
        break;
    }
    return layer;
  }
  void set_up(xnn_operator_t layer, std::size_t n) {
    const std::int8_t* x = x_.data();
    switch (kind_) {
      case weights::qc8w:
        require(xnn_reshape_fully_connected_nc_qd8_f32_qc8w(layer, n, pool_), "reshape qc8w");
        require(xnn_setup_fully_connected_nc_qd8_f32_qc8w(layer, x, y_.data(), parameters_.data()),
                "setup qc8w");
        break;
      case weights::qc4w:
        require(xnn_reshape_fully_connected_nc_qd8_f32_qc4w(layer, n, pool_), "reshape qc4w");
        require(xnn_setup_fully_connected_nc_qd8_f32_qc4w(layer, x, y_.data(), parameters_.data()),
                "setup qc4w");
        break;
      case weights::qb4w:
        require(xnn_reshape_fully_connected_nc_qd8_f32_qb4w(layer, n, pool_), "reshape qb4w");
        require(xnn_setup_fully_connected_nc_qd8_f32_qb4w(layer, x, y_.data(), parameters_.data()),
                "setup qb4w");
        break;
    }
  }

  weights kind_;
  std::size_t block_;
  integer_rows rows_;
  std::vector<std::int8_t> codes_;
  std::vector<float> scales_;
  std::vector<std::uint16_t> block_scales_;
  std::vector<std::int8_t> x_;
  std::vector<xnn_quantization_params> parameters_;
};

#endif

template <class Layer, class... Arguments>
void add(const char* name, Arguments... arguments) {
  product_cases().push_back(
      {std::string("peer/xnnpack/") + name, [=](const shape& size) -> std::unique_ptr<product> {
         return std::make_unique<Layer>(size, arguments...);
       }});
}

[[maybe_unused]] const bool added = [] {
#if QOMPOSE_XNNPACK_DYNAMIC
  add<xnnpack_qd8>("qc8w", weights::qc8w, std::size_t{0});
  add<xnnpack_qd8>("qc4w", weights::qc4w, std::size_t{0});
  add<xnnpack_qd8>("qb4w_g128", weights::qb4w, std::size_t{128});
  add<xnnpack_qd8>("qb4w_g32", weights::qb4w, std::size_t{32});
#endif
  add<xnnpack_f32>("f32");
  return true;
}();

}  // namespace
}  // namespace qompose_bench

// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/nn/integer_linear.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Codes of every size, the extremes more often than others.
template <class Code>
std::vector<Code> random_codes(std::size_t count, std::uint64_t seed) {
  qp::random_source random(seed);
  std::vector<Code> codes(count);
  for (Code& code : codes) {
    const double u = random.uniform();
    code = u < 0.2   ? std::numeric_limits<Code>::min()
           : u < 0.4 ? std::numeric_limits<Code>::max()
                     : static_cast<Code>(static_cast<int>(256.0 * random.uniform()) +
                                         std::numeric_limits<Code>::min());
  }
  return codes;
}

/// Weights of every code, -128 included, with a scale a row.
qp::quantized_matrix<qp::w8_channel> random_weights(std::size_t rows, std::size_t cols) {
  const auto codes = random_codes<std::int8_t>(rows * cols, rows + 100 * cols);
  qp::quantized_matrix<qp::w8_channel> q(rows, cols);
  for (std::size_t r = 0; r < rows; ++r) {
    q.scales().set_code(r, 0, qp::fp32::encode(0.001f * static_cast<float>(1 + r % 7)));
    for (std::size_t c = 0; c < cols; ++c) q.set_code(r, c, codes[r * cols + c]);
  }
  return q;
}

template <class In, class Out>
struct formats {
  using input = In;
  using output = Out;
};
using format_pairs = std::tuple<formats<qp::int8, qp::int8>, formats<qp::uint8, qp::uint8>,
                                formats<qp::uint8, qp::int8>, formats<qp::int8, qp::uint8>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("integer_linear: equals a 64-bit reference on every target for any shape",
                        "[kernels][integer_linear]", format_pairs) {
  using input = typename TestType::input;
  using output = typename TestType::output;
  using in_code = typename input::storage_type;
  using out_code = typename output::storage_type;
  const qp::affine<input> x_format{0.02f, input::min_code + 100};
  for (const product_shape& s : product_shapes()) {
    const auto w = random_weights(s.out, s.in);
    // A range of results that many codes share, and multipliers on both sides of 1.
    const qp::affine<output> y_format{s.in % 5 == 0 ? 1e-5f : 0.01f * static_cast<float>(s.in),
                                      output::min_code + 128};
    const matrix bias = random_matrix(1, s.out, 5);
    const qp::code_bounds bounds = s.n % 2 == 0 ? y_format.at_least(0.0f) : y_format.all();
    const qp::integer_linear<input, output> layer(w, bias.values(), x_format, y_format, bounds);
    const auto x = random_codes<in_code>(s.n * s.in, s.n);

    std::vector<std::int32_t> sums(s.n * s.out);
    std::vector<out_code> expected(s.n * s.out);
    for (std::size_t t = 0; t < s.n; ++t) {
      for (std::size_t r = 0; r < s.out; ++r) {
        std::int64_t sum = layer.q_bias(r);
        for (std::size_t c = 0; c < s.in; ++c) {
          sum += std::int64_t{w.code(r, c)} * std::int64_t{x[t * s.in + c]};
        }
        sums[t * s.out + r] = static_cast<std::int32_t>(sum);
        const std::int64_t code =
            y_format.zero_point +
            std::int64_t{layer.multiplier(r).multiply(static_cast<std::int32_t>(sum))};
        expected[t * s.out + r] =
            static_cast<out_code>(std::clamp<std::int64_t>(code, bounds.lowest, bounds.highest));
      }
    }
    on_each_target([&]<class Isa>() {
      INFO("n " << s.n << ", in " << s.in << ", out " << s.out);
      const qp::matrix_view<const in_code> xs(x.data(), s.n, s.in);
      qp::workspace scratch;
      std::vector<std::int32_t> got_sums(sums.size());
      layer.template operator()<qp::serial, Isa>(
          xs, qp::matrix_view<std::int32_t>(got_sums.data(), s.n, s.out), qp::serial{}, scratch);
      CHECK(got_sums == sums);
      std::vector<out_code> got(sums.size());
      layer.template operator()<qp::serial, Isa>(
          xs, qp::matrix_view<out_code>(got.data(), s.n, s.out), qp::serial{}, scratch);
      CHECK(got == expected);
    });
  }
}

TEST_CASE("integer_linear: parts of a long row may leave int32, its sums do not",
          "[kernels][integer_linear]") {
  // Kernels multiply weights raised by 128 and take 128 sum x back: either is past 2^32 here.
  const std::size_t in = 300000;
  qp::quantized_matrix<qp::w8_channel> w(2, in);
  for (std::size_t r = 0; r < 2; ++r) {
    w.scales().set_code(r, 0, qp::fp32::encode(1.0f));
    for (std::size_t c = 0; c < in; ++c) w.set_code(r, c, r == 0 ? 1 : -1);
  }
  const qp::integer_linear<qp::int8> layer(w, {}, {1.0f, 0}, {1e6f, 0}, {-128, 127});
  for (const std::int32_t code : {-128, 127}) {
    for (const std::size_t n : {1u, 2u, 70u}) {
      const std::vector<std::int8_t> x(n * in, static_cast<std::int8_t>(code));
      std::vector<std::int32_t> expected(2 * n);
      for (std::size_t i = 0; i < 2 * n; ++i) expected[i] = (i % 2 == 0 ? 300000 : -300000) * code;
      on_each_target([&]<class Isa>() {
        INFO("code " << code << ", n " << n);
        std::vector<std::int32_t> sums(2 * n);
        qp::workspace scratch;
        layer.template operator()<qp::serial, Isa>(
            qp::matrix_view<const std::int8_t>(x.data(), n, in),
            qp::matrix_view<std::int32_t>(sums.data(), n, 2), qp::serial{}, scratch);
        CHECK(sums == expected);
      });
    }
  }
}

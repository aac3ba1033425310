// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/elementwise.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "qompose/nn/rope.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

std::vector<std::size_t> lengths() {
  std::vector<std::size_t> result;
  for (std::size_t n = 1; n <= 70; ++n) result.push_back(n);
  result.push_back(576);
  return result;
}

}  // namespace

TEST_CASE("rms_norm: within a bound of the formula for any length", "[kernels][elementwise]") {
  for (const std::size_t dim : lengths()) {
    const matrix x = random_matrix(3, dim, dim);
    const matrix gain = random_matrix(1, dim, 1000 + dim);
    on_each_target([&]<class Isa>() {
      matrix y(3, dim);
      qp::rms_norm<qp::serial, Isa>(x.view(), gain.values(), 1e-5f, y.view());
      double worst = 0.0;
      for (std::size_t t = 0; t < 3; ++t) {
        double squares = 0.0;
        for (std::size_t c = 0; c < dim; ++c) squares += std::pow(static_cast<double>(x(t, c)), 2);
        const double rms =
            std::sqrt(squares / static_cast<double>(dim) + static_cast<double>(1e-5f));
        for (std::size_t c = 0; c < dim; ++c) {
          const double wanted =
              static_cast<double>(x(t, c)) / rms * static_cast<double>(gain(0, c));
          const double error = std::abs(static_cast<double>(y(t, c)) - wanted);
          worst = std::fmax(worst, error / (std::abs(wanted) + 1e-30));
        }
      }
      // Squares are positive: their sum is wrong by at most n 2^-24 of itself, its root by half of
      // that; a few more roundings follow.
      CHECK(worst <= (static_cast<double>(dim) / 2 + 8) * 0x1p-24);
    });
  }
}

TEST_CASE("rms_norm: a row of zeros stays zero", "[kernels][elementwise]") {
  const matrix x(1, 19, 0.0f);
  const std::vector<float> gain(19, 2.0f);
  on_each_target([&]<class Isa>() {
    matrix y(1, 19, 5.0f);
    qp::rms_norm<qp::serial, Isa>(x.view(), gain, 1e-6f, y.view());
    CHECK(y.values() == x.values());
  });
}

TEST_CASE("add: is one exact sum an element", "[kernels][elementwise]") {
  for (const std::size_t dim : lengths()) {
    const matrix x = random_matrix(2, dim, dim);
    const matrix y = random_matrix(2, dim, 1 + dim);
    on_each_target([&]<class Isa>() {
      matrix sum = y;
      qp::add<qp::serial, Isa>(x.view(), sum.view());
      bool same = true;
      for (std::size_t i = 0; i < 2 * dim; ++i) {
        same = same && sum.values()[i] == x.values()[i] + y.values()[i];
      }
      CHECK(same);
    });
  }
}

TEST_CASE("swiglu: within a bound of the formula for any length and any gate",
          "[kernels][elementwise]") {
  const std::vector<float> gates{0.0f,   -0.0f,   1e-20f, -1e-20f, 20.0f, -20.0f, 88.0f, -88.0f,
                                 104.0f, -104.0f, 178.0f, -178.0f, 1e4f,  -1e4f,  1e37f, -3e38f};
  for (const std::size_t dim : lengths()) {
    matrix x = random_matrix(3, 2 * dim, dim);
    for (std::size_t c = 0; c < dim; ++c) {
      x(1, c) *= 10.0f;
      x(2, c) = gates[c % gates.size()];
    }
    on_each_target([&]<class Isa>() {
      matrix y(3, dim);
      qp::swiglu<qp::serial, Isa>(x.view(), y.view());
      bool right = true;
      for (std::size_t t = 0; t < 3; ++t) {
        for (std::size_t c = 0; c < dim; ++c) {
          const auto gate = static_cast<double>(x(t, c));
          const auto up = static_cast<double>(x(t, dim + c));
          const double wanted = gate / (1.0 + std::exp(-gate)) * up;
          // The exponential errs by some units, three operations by half of one; a result below
          // 1e-30 may be flushed.
          right = right && std::abs(static_cast<double>(y(t, c)) - wanted) <=
                               8 * 0x1p-24 * std::abs(wanted) + 1e-30;
        }
      }
      CHECK(right);
    });
  }
}

TEST_CASE("rope: rotates as the formula says, both pairings, all scalings",
          "[kernels][elementwise]") {
  using kind = qp::rope_scaling::kind;
  std::vector<qp::rope_scaling> scalings(3);
  scalings[1].method = kind::linear;
  scalings[1].factor = 4.0f;
  scalings[2].method = kind::llama3;
  scalings[2].factor = 8.0f;
  scalings[2].low_freq_factor = 1.0f;
  scalings[2].high_freq_factor = 4.0f;
  scalings[2].original_seq_len = 64;
  for (const std::size_t head_dim : {2u, 4u, 10u, 16u, 34u, 64u, 80u, 128u}) {
    for (std::size_t s = 0; s < scalings.size(); ++s) {
      const qp::rope_scaling& scaling = scalings[s];
      const qp::rope_table table(head_dim, 300, 10000.0f, scaling);
      const std::size_t half = head_dim / 2;
      const matrix x = random_matrix(3, 2 * head_dim, head_dim);
      for (const auto pairing : {qp::rope_pairing::interleaved, qp::rope_pairing::half}) {
        on_each_target([&]<class Isa>() {
          matrix y = x;
          qp::apply_rope<Isa>(table, pairing, 297, y.view());
          double worst = 0.0;
          for (std::size_t t = 0; t < 3; ++t) {
            for (std::size_t h = 0; h < 2; ++h) {
              for (std::size_t i = 0; i < half; ++i) {
                double frequency = std::pow(
                    10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
                if (scaling.method == kind::linear) frequency /= 4.0;
                if (scaling.method == kind::llama3) {
                  // Llama 3.1's rule by wavelength.
                  const double wavelength = 2 * 3.14159265358979323846 / frequency;
                  if (wavelength > 64.0) {
                    frequency /= 8.0;
                  } else if (wavelength > 64.0 / 4.0) {
                    const double smooth = (64.0 / wavelength - 1.0) / (4.0 - 1.0);
                    frequency = (1.0 - smooth) * frequency / 8.0 + smooth * frequency;
                  }
                }
                const double angle = static_cast<double>(297 + t) * frequency;
                const bool interleaved = pairing == qp::rope_pairing::interleaved;
                const std::size_t first = h * head_dim + (interleaved ? 2 * i : i);
                const std::size_t second = h * head_dim + (interleaved ? 2 * i + 1 : half + i);
                const auto a = static_cast<double>(x(t, first));
                const auto b = static_cast<double>(x(t, second));
                const double size = std::abs(a) + std::abs(b);
                const double u = a * std::cos(angle) - b * std::sin(angle);
                const double v = b * std::cos(angle) + a * std::sin(angle);
                worst = std::fmax(worst, std::abs(static_cast<double>(y(t, first)) - u) / size);
                worst = std::fmax(worst, std::abs(static_cast<double>(y(t, second)) - v) / size);
              }
            }
          }
          INFO("head_dim " << head_dim << ", scaling " << s);
          // Table entry, product and sum round once each.
          CHECK(worst <= 4 * 0x1p-24);
        });
      }
    }
  }
}

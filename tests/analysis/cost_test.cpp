// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "qompose/offline.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

/// Half-precision arithmetic of two accelerators, and what they read from memory.
constexpr qp::machine a100{.float_operations = 312e12, .bandwidth = 2.039e12};
constexpr qp::machine h100{.float_operations = 989e12, .bandwidth = 3.35e12};

/// A 4096 x 4096 matrix of halves against n tokens of halves.
constexpr qp::layer_cost halves(std::size_t n) {
  return qp::product_cost(4096, 4096, n, 2.0 * 4096 * 4096, 2.0, false);
}

}  // namespace

TEST_CASE("cost: counts what a call computes, reads and writes", "[analysis][cost]") {
  const std::vector<float> weights(64 * 96, 0.5f);
  const auto integers = qp::compress<qp::w4a8_g32>({weights.data(), 64, 96});
  const qp::layer_cost call = qp::cost(integers, 5);
  CHECK(call.n_tokens == 5.0);
  CHECK(call.multiply_adds == 5.0 * 64 * 96);
  CHECK(call.operations() == 2.0 * 5 * 64 * 96);
  CHECK(call.weight_bytes == static_cast<double>(integers.storage_bytes()));
  CHECK(call.activation_bytes == 5.0 * 96 * 4);
  CHECK(call.result_bytes == 5.0 * 64 * 4);
  CHECK(call.bytes() == call.weight_bytes + call.activation_bytes + call.result_bytes);
  CHECK(call.cached_elements == 5.0 * 97);
  CHECK(call.uses_integers);

  const auto floats = qp::compress<qp::w4a32_g32>({weights.data(), 64, 96});
  CHECK_FALSE(qp::cost(floats, 1).uses_integers);
  CHECK(qp::cost(floats, 0).operations() == 0.0);
  CHECK(qp::layer_cost{}.intensity() == 0.0);
}

TEST_CASE("machine: the ridge is where arithmetic becomes the limit", "[analysis][cost]") {
  CHECK(a100.ridge(false) == Approx(153.0).epsilon(0.001));
  CHECK(h100.ridge(false) == Approx(295.0).epsilon(0.001));
  // Operations a byte grow with the tokens that share the weights.
  CHECK(halves(1).intensity() == Approx(1.0).epsilon(0.001));
  CHECK(halves(16).intensity() == Approx(15.9).epsilon(0.002));
  CHECK(halves(128).intensity() == Approx(120.0).epsilon(0.005));
  CHECK(halves(512).intensity() == Approx(410.0).epsilon(0.001));
}

TEST_CASE("least_seconds: the longer of arithmetic and traffic", "[analysis][cost]") {
  // One token reads 33.6 MB in 16.5 us, and would compute for 0.1 us.
  CHECK(qp::least_seconds(halves(1), a100) == Approx(halves(1).bytes() / 2.039e12));
  CHECK(qp::most_operations(halves(1), a100) == Approx(halves(1).intensity() * 2.039e12));
  // 512 tokens are past the ridge: 17.2 Gop at 312 Top/s.
  CHECK(qp::least_seconds(halves(512), a100) == Approx(2.0 * 512 * 4096 * 4096 / 312e12));
  CHECK(qp::most_operations(halves(512), a100) == 312e12);
  // Bound and speed are two sides of one thing.
  CHECK(halves(16).operations() / qp::least_seconds(halves(16), a100) ==
        Approx(qp::most_operations(halves(16), a100)));

  const qp::machine processor{
      .integer_operations = 200e9, .float_operations = 100e9, .bandwidth = 20e9};
  const qp::layer_cost integers = qp::product_cost(1000, 1000, 100, 1e6, 4.0, true);
  const qp::layer_cost floats = qp::product_cost(1000, 1000, 100, 1e6, 4.0, false);
  CHECK(qp::least_seconds(integers, processor) == Approx(1e-3));
  CHECK(qp::least_seconds(floats, processor) == Approx(2e-3));
}

TEST_CASE("most_tokens: decoding cannot outrun the memory", "[analysis][cost]") {
  // LLaMA-3-8B in halves on an A100.
  CHECK(qp::most_tokens(2 * 8.03e9, a100) == Approx(127.0).epsilon(0.001));
  // Decoding stays memory bound until about 150 sequences; with 4-bit weights until a quarter.
  CHECK(qp::balanced_tokens(halves(1), a100) == Approx(153.0).epsilon(0.001));
  const qp::layer_cost four_bits = qp::product_cost(4096, 4096, 1, 4096.0 * 4096 / 2, 2.0, false);
  CHECK(qp::balanced_tokens(four_bits, a100) == Approx(153.0 / 4).epsilon(0.001));
}

TEST_CASE("energy: a byte from memory costs thousands of additions", "[analysis][cost]") {
  const qp::energy_table table;
  CHECK(table.float_multiply / table.int32_add == Approx(37.0));
  CHECK(table.memory_32_bits / table.int32_add == Approx(6400.0));

  // 1000 multiply-adds, 16 bytes of weights, 40 of activations, 400 of results: 114 words.
  const qp::layer_cost integers = qp::product_cost(100, 10, 1, 16.0, 4.0, true);
  CHECK(qp::energy(integers).arithmetic == Approx(1000 * 0.3));
  CHECK(qp::energy(integers).memory == Approx(114 * 640.0));
  CHECK(qp::energy(integers).total() == Approx(300.0 + 72960.0));
  const qp::layer_cost floats = qp::product_cost(100, 10, 1, 16.0, 4.0, false);
  CHECK(qp::energy(floats).arithmetic == Approx(1000 * 4.6));
}

TEST_CASE("tiles: square tiles divide the traffic by their side", "[analysis][cost]") {
  constexpr double n = 4096;
  // In halves: 275 GB element by element, 2.15 GB with tiles of 128, results aside.
  CHECK((qp::tiles(n, n, n, 1, 1, 1).moved_elements - n * n) * 2 == Approx(275e9).epsilon(0.001));
  const qp::tile_cost tiled = qp::tiles(n, n, n, 128, 128, 32);
  CHECK((tiled.moved_elements - n * n) * 2 == Approx(2.15e9).epsilon(0.002));
  CHECK(tiled.staged_elements == 2 * 128 * 32);
  CHECK(tiled.held_elements == 128 * 128);

  // A vector times a [1000, 2000] matrix: row by row it is read 2000 times and one sum is held; in
  // the outer product form once, with 2000 sums.
  const qp::tile_cost rows = qp::tiles(1, 2000, 1000, 1, 1, 1);
  const qp::tile_cost outer = qp::tiles(1, 2000, 1000, 1, 2000, 1);
  CHECK(rows.moved_elements - outer.moved_elements == Approx(1000.0 * 1999));
  CHECK(rows.held_elements == 1);
  CHECK(outer.held_elements == 2000);
}

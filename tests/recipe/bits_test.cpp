// SPDX-License-Identifier: Apache-2.0

#include "qompose/recipe/bits.hpp"

#include "policy_lists.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("bits_per_element: counts codes, scales, zero points and minima", "[recipe][bits]") {
  CHECK(qp::bits_per_element<qp::fp32>(3, 5) == 32.0);
  CHECK(qp::bits_per_element<qp::bf16>(3, 5) == 16.0);
  CHECK(qp::bits_per_element<qp::int_n<3>>(3, 5) == 3.0);
  CHECK(qp::bits_per_element<qp::w8_channel>(7, 64) == 8.0 + 32.0 / 64);
  CHECK(qp::bits_per_element<qp::w8_channel>(7, 1) == 40.0);
  CHECK(qp::bits_per_element<qp::w4_g32>(7, 64) == 4.5);
  CHECK(qp::bits_per_element<qp::w4_g64>(7, 64) == 4.25);
  CHECK(qp::bits_per_element<qp::w4_g128>(7, 256) == 4.125);
  CHECK(qp::bits_per_element<qp::w4_minimum_g32>(7, 64) == 5.0);
  CHECK(qp::bits_per_element<qp::quant<qp::int8, qp::per_tensor>>(4, 8) == 9.0);
  using with_zero =
      qp::quant<qp::uint4, qp::per_group<32>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>;
  CHECK(qp::bits_per_element<with_zero>(1, 32) == 4.0 + 20.0 / 32);
}

TEST_CASE("bits_per_element: a short last group pays for a whole scale", "[recipe][bits]") {
  CHECK(qp::bits_per_element<qp::w4_g32>(5, 33) == Approx(4.0 + 2 * 16.0 / 33));
  // A group larger than the row is the row.
  CHECK(qp::bits_per_element<qp::w4_g128>(5, 16) == 5.0);
}

TEST_CASE("bits_per_element: follows scales that are quantized themselves", "[recipe][bits]") {
  // Two 8-bit scales a row and one float for them.
  using scales = qp::quant<qp::uint8, qp::per_channel>;
  using two_level = qp::quant<qp::uint4, qp::per_group<32>, qp::scale<scales>>;
  CHECK(qp::bits_per_element<two_level>(4, 64) == 4.0 + (2 * 8 + 32) / 64.0);
  // The 4.5 bits of GGUF's Q4_K: eight 6-bit scales and minima, a half for either.
  CHECK(qp::bits_per_element<qp::q4_k_like>(3, 256) == 4.5);
  // One float for all scales of the matrix.
  using per_tensor_scales =
      qp::quant<qp::int4, qp::per_group<16>, qp::scale<qp::quant<qp::uint4, qp::per_tensor>>>;
  CHECK(qp::total_bits<per_tensor_scales>(4, 32) == 4 * 32 * 4 + 8 * 4 + 32);
}

TEST_CASE("bits_per_element: counts codebooks, one a group or one in all", "[recipe][bits]") {
  CHECK(qp::bits_per_element<qp::codebook4>(10, 64) == 4.0 + 16 * 16 / 64.0);
  CHECK(qp::total_bits<qp::codebook4_shared>(3, 128) == 3 * 128 * 4 + 3 * 2 * 16 + 16 * 16);
  CHECK(qp::total_bits<qp::quant<qp::codebook<5, qp::fp32>, qp::per_group<24>>>(2, 25) ==
        2 * 25 * 3 + 4 * 5 * 32);
  CHECK(qp::total_bits<qp::codebook4_shared>(0, 128) == 0);
}

TEST_CASE("bits_per_element: the bits that the formats' publications state", "[recipe][bits]") {
  CHECK(qp::bits_per_element<qp::mxfp4>(8, 4096) == 4.25);
  CHECK(qp::bits_per_element<qp::mxfp6_e2m3>(8, 4096) == 6.25);
  CHECK(qp::bits_per_element<qp::mxint8>(8, 4096) == 8.25);
  CHECK(qp::bits_per_element<qp::nvfp4>(4096, 4096) == Approx(4.5));
  CHECK(qp::bits_per_element<qp::nf4_g64>(8, 4096) == 4.5);
  CHECK(qp::bits_per_element<qp::nf4_double>(4096, 4096) ==
        Approx(4.0 + 8.0 / 64 + 64.0 / (64 * 256)));
  CHECK(qp::bits_per_element<qp::vsq4_v16>(8, 4096) == Approx(4.25 + 32.0 / 4096));
  CHECK(qp::bits_per_element<qp::w4_progressive>(8, 4096) == Approx(4 + 12.0 / 128 + 32.0 / 4096));
  CHECK(qp::bits_per_element<qp::quant<qp::int8, qp::per_block<4, qp::whole_rows>>>(8, 16) ==
        8.0 + 32.0 / 64);
}

TEST_CASE("bits_per_element: is known at compile time", "[recipe][bits]") {
  static_assert(qp::bits_per_element<qp::w4_g32>(16, 64) == 4.5);
  static_assert(qp::total_bits<qp::w8_channel>(0, 64) == 0);
  static_assert(qp::scales_of<qp::per_group<32>>(3, 65).cols == 3);
  static_assert(qp::scales_of<qp::per_tensor>(3, 65).rows == 1);
  static_assert(qp::divide_up(0, 3) == 0 && qp::divide_up(7, 3) == 3 && qp::round_up(7, 8) == 8);
  SUCCEED();
}

TEMPLATE_LIST_TEST_CASE("granularities: their groups cover any matrix without overlap",
                        "[recipe][bits]", qompose_tests::granularities) {
  for (std::size_t rows = 1; rows < 4; ++rows) {
    for (std::size_t cols = 1; cols < 70; ++cols) {
      const std::size_t height = TestType::group_rows(rows);
      const std::size_t width = TestType::group_cols(cols);
      REQUIRE(height >= 1);
      REQUIRE(width >= 1);
      const qp::scale_grid grid = qp::scales_of<TestType>(rows, cols);
      // The last group starts inside the matrix and ends at or past its edge.
      REQUIRE((grid.rows - 1) * height < rows);
      REQUIRE(grid.rows * height >= rows);
      REQUIRE((grid.cols - 1) * width < cols);
      REQUIRE(grid.cols * width >= cols);
    }
  }
  CHECK(std::is_empty_v<TestType>);
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/packing/packed_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "policy_lists.hpp"
#include "qompose/quantize/quantize.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;
using qompose_tests::same;

namespace {

/// A bound for what packing may change of a value: a zero point becomes the offset -scale * zero,
/// which rounds once, as do scale * code and their sum, each by 2^-24 of what it rounds.
template <class Spec>
float slack(const qp::quantized_matrix<Spec>& q, std::size_t r, std::size_t c) {
  if constexpr (qp::quant_spec<Spec>) {
    return 0x1p-22f * (std::abs(q.offset(r, c)) + std::abs(q.value(r, c)));
  } else {
    return 0.0f;
  }
}

/// 4-bit fields are unsigned in a panel, bytes signed.
template <class Spec>
using layout = qp::panel_layout<Spec>;

}  // namespace

TEMPLATE_LIST_TEST_CASE(
    "packed_matrix: gives back what was stored, code for code and scale for scale",
    "[packing][panels]", qompose_tests::tensor_specs) {
  for (const std::size_t rows : {1u, 15u, 16u, 17u, 40u}) {
    for (const std::size_t cols : {1u, 7u, 8u, 9u, 32u, 33u, 70u, 128u}) {
      INFO("[" << rows << ", " << cols << "]");
      const auto q = qp::quantize<TestType>(random_matrix(rows, cols, rows + 100 * cols).view());
      qp::packed_matrix<TestType> packed(rows, cols);
      packed.store(0, q);
      CHECK(same(packed.quantized(), q));
      bool values = true;
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < cols; ++c) {
          values = values && packed.code(r, c) == q.code(r, c);
          values = values && std::abs(packed.value(r, c) - q.value(r, c)) <= slack(q, r, c);
        }
      }
      CHECK(values);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("packed_matrix: rows may arrive in blocks that share no scale",
                        "[packing][panels]", qompose_tests::tensor_specs) {
  if constexpr (qp::detail::rows_that_share<TestType>() > 0) {
    const matrix x = random_matrix(107, 50, 3);
    qp::packed_matrix<TestType> packed(107, 50);
    constexpr std::size_t step = std::lcm(std::size_t{16}, qp::detail::rows_that_share<TestType>());
    static_assert(step <= 48);
    // Out of order, as threads would store them.
    for (std::size_t first = 106 / step * step + step; first > 0;) {
      first -= step;
      const std::size_t count = std::min(step, 107 - first);
      packed.store(first, qp::quantize<TestType>(x.view().rows(first, count)));
    }
    CHECK(same(packed.quantized(), qp::quantize<TestType>(x.view())));
  }
}

TEST_CASE("packed_matrix: groups are padded to whole units, rows to panels of 16",
          "[packing][panels]") {
  const qp::panel_geometry g = qp::geometry_of<qp::quant<qp::int4, qp::per_group<12>>>(17, 30);
  CHECK(g.panels == 2);
  CHECK(g.groups == 3);
  CHECK(g.group_cols == 12);
  CHECK(g.group_stride == 16);
  CHECK(g.padded_cols == 16 + 16 + 8);  // the last group has 6 columns
  CHECK(g.padded(11) == 11);
  CHECK(g.padded(12) == 16);
  CHECK(g.padded(29) == 37);

  const qp::panel_geometry plain = qp::geometry_of<qp::bf16>(16, 9);
  CHECK(plain.panels == 1);
  CHECK(plain.groups == 1);
  CHECK(plain.padded_cols == 16);

  const qp::panel_geometry empty = qp::geometry_of<qp::w4_g32>(5, 0);
  CHECK(empty.groups == 0);
  CHECK(empty.padded_cols == 0);
}

TEST_CASE("packed_matrix: a matrix that fills its panels wastes nothing", "[packing][panels]") {
  const auto bytes = []<class Spec>(std::size_t rows, std::size_t cols) {
    return qp::packed_matrix<Spec>(rows, cols).storage_bytes();
  };
  CHECK(bytes.operator()<qp::w4_g32>(32, 128) == 32 * 128 / 2 + 32 * 4 * 2);
  CHECK(bytes.operator()<qp::w4_minimum_g32>(32, 64) == 32 * 64 / 2 + 2 * 32 * 2 * 2);
  CHECK(bytes.operator()<qp::w8_channel>(32, 64) == 32 * 64 + 32 * 4);
  CHECK(bytes.operator()<qp::bf16>(32, 64) == 32 * 64 * 2);
  CHECK(bytes.operator()<qp::fp32>(32, 64) == 32 * 64 * 4);
  CHECK(bytes.operator()<qp::fp32>(0, 0) == 0);
}

TEST_CASE("packed_matrix: codes lie as the layout's table says", "[packing][panels]") {
  qp::quantized_matrix<qp::quant<qp::int4, qp::per_channel>> nibbles(16, 16);
  nibbles.set_code(3, 1, 5);    // columns 0..3 of a unit of 8: low nibbles
  nibbles.set_code(3, 5, -8);   // columns 4..7: high nibbles
  nibbles.set_code(15, 15, 7);  // second unit
  qp::packed_matrix<qp::quant<qp::int4, qp::per_channel>> packed(16, 16);
  packed.store(0, nibbles);
  const std::uint8_t* bytes = packed.pointers().panels;
  CHECK(bytes[4 * 3 + 1] == ((-8 + 8) << 4 | (5 + 8)));
  CHECK(bytes[64 + 4 * 15 + 3] == ((7 + 8) << 4 | 8));
  CHECK(bytes[0] == 0x88);

  qp::quantized_matrix<qp::w8_channel> eight(16, 8);
  eight.set_code(2, 6, -128);
  eight.set_code(2, 7, 127);
  qp::packed_matrix<qp::w8_channel> packed_bytes(16, 8);
  packed_bytes.store(0, eight);
  CHECK(packed_bytes.pointers().panels[64 + 4 * 2 + 2] == 0);
  CHECK(packed_bytes.pointers().panels[64 + 4 * 2 + 3] == 255);

  // Five bits are a plane of 4 in four blocks and a plane of 1 in a fifth.
  qp::quantized_matrix<qp::quant<qp::uint_n<5>, qp::per_channel>> five(16, 32);
  five.set_code(1, 30, 0b10110);
  qp::packed_matrix<qp::quant<qp::uint_n<5>, qp::per_channel>> packed_five(16, 32);
  packed_five.store(0, five);
  CHECK(packed_five.storage_bytes() == 16 * 32 * 5 / 8 + 16 * 4);
  CHECK(packed_five.pointers().panels[3 * 64 + 4 * 1 + 2] == 0b0110 << 4);  // quad 7, odd
  CHECK(packed_five.pointers().panels[4 * 64 + 4 * 1 + 2] == 1 << 7);

  CHECK(layout<qp::quant<qp::int4, qp::per_channel>>::field_offset == -8);
  CHECK(layout<qp::quant<qp::uint4, qp::per_channel>>::field_offset == 0);
  CHECK(layout<qp::w8_channel>::field_offset == -128);
  CHECK(layout<qp::quant<qp::uint8, qp::per_channel>>::field_offset == 0);
  CHECK(layout<qp::w3_g32>::step == 32);
  CHECK(layout<qp::w2_g64>::step == 16);
  CHECK(layout<qp::mxfp6_e2m3>::step == 16);
}

TEST_CASE("packed_matrix: scales of groups stand in the panel before the codes of four groups",
          "[packing][panels]") {
  // Six groups of 8 columns: a block of four, a block of two with room for four.
  using spec = qp::quant<qp::int4, qp::per_group<8>, qp::scale<qp::fp16>>;
  const auto q = qp::quantize<spec>(random_matrix(17, 48, 1).view());
  qp::packed_matrix<spec> packed(17, 48);
  packed.store(0, q);
  const std::size_t head = 4 * 16 * 2;
  const std::size_t panel = 2 * head + 6 * 64;
  CHECK(packed.panels().size() == 2 * panel);
  const auto scale = [&](std::size_t at) {
    return packed.panels()[at] | packed.panels()[at + 1] << 8;
  };
  CHECK(scale(2 * (2 * 16 + 3)) == q.scale_code(3, 2));
  CHECK(scale(head + 4 * 64 + 2 * (16 + 15)) == q.scale_code(15, 5));
  CHECK(scale(panel + 2 * 16) == q.scale_code(16, 1));
  CHECK((packed.panels()[head + 64 + 4 * 9 + 2] & 15) == q.code(9, 8 + 2) + 8);
  CHECK(packed.panels()[2 * head + 5 * 64 + 4 * 9 + 3] >> 4 == q.code(9, 40 + 7) + 8);

  // A minimum beside the scale fills 64 bytes a group.
  using shifted =
      qp::quant<qp::uint4, qp::per_group<8>, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  CHECK(qp::packed_matrix<shifted>(16, 48).panels().size() == 6 * (64 + 64));
  // Scales of whole rows stay beside the panels, and those that panels hold in decoded form.
  CHECK_FALSE(layout<qp::w8_channel>::interleaves);
  CHECK_FALSE(layout<qp::q4_k_like>::interleaves);
}

TEST_CASE("packed_matrix: of scales in two levels the inner ones stand in the panel",
          "[packing][panels]") {
  const auto whole = random_matrix(17, 96, 2);
  // fp8 as fp16, 32 bytes a group; the float that the tensor shares is a float a row.
  const auto q = qp::quantize<qp::nvfp4>(whole.view());
  qp::packed_matrix<qp::nvfp4> packed(17, 96);
  packed.store(0, q);
  const std::size_t head = 4 * 16 * 2;
  const std::size_t panel = 2 * head + 6 * 2 * 64;
  CHECK(packed.panels().size() == 2 * panel);
  const auto half = [&](std::size_t at) {
    return qp::fp16::decode(
        static_cast<std::uint16_t>(packed.panels()[at] | packed.panels()[at + 1] << 8));
  };
  CHECK(half(2 * (2 * 16 + 3)) == qp::fp8_e4m3::decode(q.scale_code(3, 2)));
  CHECK(half(head + 8 * 64 + 2 * (16 + 15)) == qp::fp8_e4m3::decode(q.scale_code(15, 5)));
  CHECK(half(panel) == qp::fp8_e4m3::decode(q.scale_code(16, 0)));
  CHECK((packed.panels()[head + 2 * 64 + 4 * 9 + 2] & 15) == q.code(9, 16 + 2));
  CHECK(packed.pointers().scales == nullptr);
  CHECK(packed.pointers().row_scales[16] == q.scales().scale(16, 0));
  CHECK(packed.storage_bytes() == 2 * panel + 2 * 16 * 4);

  // Integers are bytes: scales, then zero points, then codes.
  using levels = qp::quant<qp::uint4, qp::per_group<8>, qp::scale<qp::progressive<qp::int8>>,
                           qp::zero<qp::uint4>>;
  const auto two = qp::quantize<levels>(whole.view());
  qp::packed_matrix<levels> integers(17, 96);
  integers.store(0, two);
  const std::size_t block = 4 * 16 + 4 * 16 + 4 * 64;
  CHECK(integers.panels().size() == 2 * 3 * block);
  CHECK(integers.panels()[block + 3 * 16 + 5] == two.scale_code(5, 7));
  CHECK(integers.panels()[block + 4 * 16 + 3 * 16 + 5] == two.zeros().code(5, 7));
  CHECK((integers.panels()[2 * 4 * 16 + 64 + 4 * 9 + 2] & 15) == two.code(9, 8 + 2));

  // So are the zero points of scales of one level.
  const auto one = qp::quantize<qp::w4_zero_g128>(random_matrix(16, 256, 3).view());
  qp::packed_matrix<qp::w4_zero_g128> zeros(16, 256);
  zeros.store(0, one);
  CHECK(zeros.panels().size() == 4 * 16 * 2 + 4 * 16 + 2 * 1024);
  CHECK(zeros.panels()[4 * 16 * 2 + 16 + 7] == one.zeros().code(7, 1));
  CHECK(zeros.storage_bytes() == zeros.panels().size());
}

TEST_CASE("packed_matrix: a default one is empty", "[packing][panels]") {
  const qp::packed_matrix<qp::w4_g32> packed;
  CHECK(packed.geometry().rows == 0);
  CHECK(packed.storage_bytes() == 0);
  CHECK(packed.quantized().rows() == 0);
}

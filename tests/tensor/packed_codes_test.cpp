// SPDX-License-Identifier: Apache-2.0

#include "qompose/tensor/packed_codes.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/binary.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/int_n.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

using widths = std::tuple<qp::int_n<2>, qp::int_n<3>, qp::int_n<4>, qp::int_n<5>, qp::int_n<6>,
                          qp::int_n<7>, qp::int_n<8>, qp::uint_n<2>, qp::uint_n<3>, qp::uint_n<4>,
                          qp::uint_n<5>, qp::uint_n<6>, qp::uint_n<7>, qp::uint_n<8>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("packed_codes: gives back what was set, in any order, at any length",
                        "[tensor][codes]", widths) {
  using code = typename TestType::storage_type;
  for (std::size_t cols = 1; cols <= 65; ++cols) {
    qp::packed_codes<TestType> packed(3, cols);
    CHECK(packed.storage_bytes() == 3 * ((cols * TestType::bits + 7) / 8));
    std::vector<code> wanted(3 * cols, 0);
    qp::random_source random(cols);
    bool same = true;
    // Each element is set several times, so that setting must clear what was there.
    for (std::size_t step = 0; step < 12 * cols; ++step) {
      const std::size_t at = static_cast<std::size_t>(random.bits() % (3 * cols));
      const int range = TestType::max_code - TestType::min_code + 1;
      const auto value = static_cast<code>(
          TestType::min_code + static_cast<int>(random.bits() % static_cast<unsigned>(range)));
      packed.set(at / cols, at % cols, value);
      wanted[at] = value;
      same = same && packed.get(at / cols, at % cols) == value;
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      same = same && packed.get(i / cols, i % cols) == wanted[i];
    }
    CHECK(same);
  }
}

TEMPLATE_LIST_TEST_CASE("packed_codes: every code survives at every bit offset", "[tensor][codes]",
                        widths) {
  using code = typename TestType::storage_type;
  bool same = true;
  for (int value = TestType::min_code; value <= TestType::max_code; ++value) {
    qp::packed_codes<TestType> packed(1, 8);
    for (std::size_t c = 0; c < 8; ++c) {
      packed.set(0, c, static_cast<code>(value));
      same = same && packed.get(0, c) == static_cast<code>(value);
      if (c + 1 < 8) same = same && packed.get(0, c + 1) == 0;
    }
  }
  CHECK(same);
}

TEMPLATE_LIST_TEST_CASE("packed_codes: whole rows are what their codes are, one by one",
                        "[tensor][codes]", widths) {
  using code = typename TestType::storage_type;
  for (std::size_t cols = 1; cols <= 65; ++cols) {
    qp::packed_codes<TestType> one_by_one(2, cols);
    qp::packed_codes<TestType> by_row(2, cols);
    qp::random_source random(1000 + cols);
    for (std::size_t r = 0; r < 2; ++r) {
      std::vector<code> codes(cols);
      for (std::size_t c = 0; c < cols; ++c) {
        const int range = TestType::max_code - TestType::min_code + 1;
        codes[c] = static_cast<code>(
            TestType::min_code + static_cast<int>(random.bits() % static_cast<unsigned>(range)));
        one_by_one.set(r, c, codes[c]);
      }
      by_row.set_row(r, cols, codes.data());
      std::vector<code> back(cols + 1, code{1});
      by_row.get_row(r, cols, back.data());
      CHECK(back[cols] == 1);  // nothing past the row is written
      back.resize(cols);
      CHECK(back == codes);
    }
    CHECK(std::equal(by_row.data(), by_row.data() + by_row.storage_bytes(), one_by_one.data()));
  }
}

TEST_CASE("packed_codes: signs take a bit each", "[tensor][codes]") {
  qp::packed_codes<qp::binary> packed(2, 9);
  CHECK(packed.storage_bytes() == 4);
  const std::vector<std::uint8_t> signs{1, 0, 0, 1, 1, 1, 0, 0, 1};
  packed.set_row(1, 9, signs.data());
  CHECK(packed.data()[2] == 0b0011'1001);
  CHECK(packed.data()[3] == 1);
  CHECK(packed.get(1, 8) == 1);
}

TEST_CASE("packed_codes: the first code lies in the lowest bits", "[tensor][codes]") {
  qp::packed_codes<qp::uint_n<3>> packed(1, 4);
  for (std::size_t c = 0; c < 4; ++c) packed.set(0, c, static_cast<std::uint8_t>(c + 4));
  // 4, 5, 6, 7 in three bits each, from the lowest: 0b111'110'101'100.
  CHECK(packed.data()[0] == 0b1010'1100);
  CHECK(packed.data()[1] == 0b1111);
}

TEST_CASE("packed_codes: wide codes are stored as they are", "[tensor][codes]") {
  qp::packed_codes<qp::bf16> halves(2, 3);
  halves.set(1, 2, 0xbeef);
  CHECK(halves.get(1, 2) == 0xbeef);
  CHECK(halves.get(1, 1) == 0);
  CHECK(halves.storage_bytes() == 12);
  qp::packed_codes<qp::fp32> floats(1, 2);
  floats.set(0, 1, 0xdead'beefu);
  CHECK(floats.get(0, 1) == 0xdead'beefu);
  CHECK(qp::packed_codes<qp::fp32>(0, 7).storage_bytes() == 0);
}

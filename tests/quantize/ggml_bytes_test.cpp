// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/rules/absmax_ties_away.hpp"
#include "qompose/rules/signed_extreme.hpp"
#include "support/catch.hpp"
#include "support/reference_data.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;

TEST_CASE("signed_extreme and absmax_ties_away: make the bytes of ggml's blocks",
          "[quantize][rules][reference]") {
  const auto folder = qompose_tests::reference_data("vectors/ggml");
  if (folder.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data("vectors/ggml"));
  const auto input_bytes = qompose_tests::read_file(folder / "input_6x1024.f32.bin");
  std::vector<float> input(6 * 1024);
  REQUIRE(input_bytes.size() == input.size() * sizeof(float));
  std::memcpy(input.data(), input_bytes.data(), input_bytes.size());
  const auto compare = [&]<class Spec>(const char* type, std::size_t block_bytes, const auto& rule,
                                       auto&& block_of) {
    const auto bytes = qompose_tests::read_file(folder / (std::string(type) + "_quant.bin"));
    const auto q = qp::quantize<Spec>({input.data(), 6, 1024}, rule);
    REQUIRE(bytes.size() == 6 * 32 * block_bytes);
    int wrong = 0;
    for (std::size_t r = 0; r < 6; ++r) {
      for (std::size_t g = 0; g < 32; ++g) {
        const std::vector<std::uint8_t> block = block_of(q, r, g);
        const void* wanted = bytes.data() + (r * 32 + g) * block_bytes;
        wrong += block.size() != block_bytes || std::memcmp(block.data(), wanted, block_bytes) != 0;
      }
    }
    INFO(type);
    CHECK(wrong == 0);
  };
  const auto half = [](std::vector<std::uint8_t>& block, std::uint16_t code) {
    block.push_back(static_cast<std::uint8_t>(code & 255));
    block.push_back(static_cast<std::uint8_t>(code >> 8));
  };
  // Element i in the low nibble of byte i, element i + 16 in the high one, as unsigned fields.
  const auto nibbles = [](std::vector<std::uint8_t>& block, const auto& q, std::size_t r,
                          std::size_t g, int bias) {
    for (std::size_t i = 0; i < 16; ++i) {
      const int low = static_cast<int>(q.code(r, 32 * g + i)) + bias;
      const int high = static_cast<int>(q.code(r, 32 * g + i + 16)) + bias;
      block.push_back(static_cast<std::uint8_t>((low & 15) | ((high & 15) << 4)));
    }
  };
  const auto fifth_bits = [](std::vector<std::uint8_t>& block, const auto& q, std::size_t r,
                             std::size_t g, int bias) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      const int field = static_cast<int>(q.code(r, 32 * g + i)) + bias;
      bits |= static_cast<std::uint32_t>(field >> 4) << i;
    }
    for (int i = 0; i < 4; ++i) block.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
  };
  compare.operator()<qp::q4_0>("q4_0", 18, qp::signed_extreme{},
                               [&](const auto& q, auto r, auto g) {
                                 std::vector<std::uint8_t> block;
                                 half(block, q.scale_code(r, g));
                                 nibbles(block, q, r, g, 8);
                                 return block;
                               });
  compare.operator()<qp::q4_1>("q4_1", 20, qp::signed_extreme{},
                               [&](const auto& q, auto r, auto g) {
                                 std::vector<std::uint8_t> block;
                                 half(block, q.scale_code(r, g));
                                 half(block, q.zeros().code(r, g));
                                 nibbles(block, q, r, g, 0);
                                 return block;
                               });
  compare.operator()<qp::q5_0>("q5_0", 22, qp::signed_extreme{},
                               [&](const auto& q, auto r, auto g) {
                                 std::vector<std::uint8_t> block;
                                 half(block, q.scale_code(r, g));
                                 fifth_bits(block, q, r, g, 16);
                                 nibbles(block, q, r, g, 16);
                                 return block;
                               });
  compare.operator()<qp::q5_1>("q5_1", 24, qp::signed_extreme{},
                               [&](const auto& q, auto r, auto g) {
                                 std::vector<std::uint8_t> block;
                                 half(block, q.scale_code(r, g));
                                 half(block, q.zeros().code(r, g));
                                 fifth_bits(block, q, r, g, 0);
                                 nibbles(block, q, r, g, 0);
                                 return block;
                               });
  compare.operator()<qp::q8_0>(
      "q8_0", 34, qp::absmax_ties_away{}, [&](const auto& q, auto r, auto g) {
        std::vector<std::uint8_t> block;
        half(block, q.scale_code(r, g));
        for (std::size_t i = 0; i < 32; ++i) {
          block.push_back(static_cast<std::uint8_t>(q.code(r, 32 * g + i)));
        }
        return block;
      });
}

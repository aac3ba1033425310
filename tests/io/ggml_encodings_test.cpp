// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/ggml_encodings.hpp"

#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/reference_data.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;

namespace {

/// Blocks decoded at an odd address.
std::vector<float> decode(const qp::tensor_encoding& encoding, std::span<const std::byte> blocks) {
  std::vector<std::byte> shifted(blocks.size() + 1);
  std::memcpy(shifted.data() + 1, blocks.data(), blocks.size());
  const std::size_t n_blocks = blocks.size() / encoding.block_bytes;
  std::vector<float> values(n_blocks * encoding.block_size);
  encoding.decode(shifted.data() + 1, n_blocks, values.data());
  return values;
}

std::vector<std::byte> block(std::initializer_list<int> head, std::size_t n, int fill) {
  std::vector<std::byte> bytes;
  for (const int b : head) bytes.push_back(static_cast<std::byte>(b));
  bytes.resize(bytes.size() + n, static_cast<std::byte>(fill));
  return bytes;
}

/// Name of the vector files of a type: its own in lower case, but for the K.
std::string file_stem(std::string_view name) {
  std::string stem;
  for (const char c : name) {
    stem += c == 'K' ? c : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return stem;
}

}  // namespace

TEST_CASE("ggml_encodings: decoded floats equal ggml's bit for bit", "[io][ggml]") {
  const std::filesystem::path folder = qompose_tests::reference_data("vectors/ggml");
  if (folder.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data("vectors/ggml"));
  for (const qp::ggml_type& type : qp::ggml_types) {
    if (type.encoding->name == "F32") continue;  // the floats themselves
    const std::string stem = file_stem(type.encoding->name);
    CAPTURE(stem);
    const auto stored = qompose_tests::read_file(folder / (stem + "_quant.bin"));
    const auto expected_bytes = qompose_tests::read_file(folder / (stem + "_dequant.f32.bin"));
    std::vector<float> expected(expected_bytes.size() / sizeof(float));
    std::memcpy(expected.data(), expected_bytes.data(), expected_bytes.size());

    const std::vector<float> values = decode(*type.encoding, stored);
    REQUIRE(values.size() == expected.size());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool both_nan = std::isnan(values[i]) && std::isnan(expected[i]);
      if (!both_nan && std::memcmp(&values[i], &expected[i], sizeof(float)) != 0) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("ggml_encodings: small blocks decode to what their layout says", "[io][ggml]") {
  // 0x3c00 is 1, 0x4000 is 2 as a half; 0x21 has the low nibble 1 and the high nibble 2.
  const auto q4_0 = decode(qp::q4_0_encoding, block({0x00, 0x40}, 16, 0x21));
  CHECK(q4_0.front() == -14.0f);
  CHECK(q4_0.back() == -12.0f);
  const auto q4_1 = decode(qp::q4_1_encoding, block({0x00, 0x40, 0x00, 0x3c}, 16, 0x21));
  CHECK(q4_1.front() == 3.0f);
  CHECK(q4_1.back() == 5.0f);
  const auto q5_0 =
      decode(qp::q5_0_encoding, block({0x00, 0x40, 0x01, 0x00, 0x00, 0x80}, 16, 0x21));
  CHECK(q5_0[0] == 2.0f);    // 16 + 1 - 16
  CHECK(q5_0[1] == -30.0f);  // 1 - 16
  CHECK(q5_0[31] == 4.0f);   // 16 + 2 - 16
  const auto q8_0 = decode(qp::q8_0_encoding, block({0x00, 0x40}, 32, 0xff));
  CHECK(q8_0[7] == -2.0f);
  const auto mxfp4 = decode(qp::mxfp4_encoding, block({128}, 16, 0xf7));
  CHECK(mxfp4.front() == 12.0f);
  CHECK(mxfp4.back() == -12.0f);
  const auto smallest = decode(qp::mxfp4_encoding, block({0}, 16, 0x21));
  CHECK(smallest.front() == 0x1p-128f);
  CHECK(smallest.back() == 0x1p-127f);
  const auto tq2_0 = decode(qp::tq2_0_encoding, [] {
    auto bytes = block({}, 64, 0b10'01'00'01);
    bytes.push_back(std::byte{0x00});
    bytes.push_back(std::byte{0x40});
    return bytes;
  }());
  CHECK(tq2_0[0] == 0.0f);
  CHECK(tq2_0[32] == -2.0f);
  CHECK(tq2_0[64] == 0.0f);
  CHECK(tq2_0[96] == 2.0f);
}

TEST_CASE("ggml_encodings: a type that is not read is known by name", "[io][ggml]") {
  CHECK(qp::find_ggml_encoding(2)->name == "Q4_0");
  CHECK(qp::find_ggml_encoding(39)->name == "MXFP4");
  CHECK(qp::find_ggml_encoding(40)->name == "NVFP4");
  for (const std::uint32_t type : {4u, 9u, 15u, 16u, 24u, 28u, 29u, 31u, 41u, 43u, 0xffff'ffffu}) {
    CHECK(qp::find_ggml_encoding(type) == nullptr);
  }
  CHECK(qp::ggml_type_text(16) == "IQ2_XXS (16)");
  CHECK(qp::ggml_type_text(23) == "IQ4_XS (23)");
  CHECK(qp::ggml_type_text(29) == "IQ1_M (29)");
  CHECK(qp::ggml_type_text(99) == "unknown (99)");
  // The list of names and the table of encodings agree.
  for (const qp::ggml_type& type : qp::ggml_types) {
    CHECK(qp::ggml_type_text(type.id) ==
          std::string(type.encoding->name) + " (" + std::to_string(type.id) + ")");
  }
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/matrix_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/edited_safetensors.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::edited_safetensors;
using qompose_tests::random_matrix;
using qompose_tests::read_file;
using qompose_tests::same;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

namespace {

/// Saves a [rows, cols] matrix of `Spec`, lets `edit` change the file, and returns what `load`
/// says.
template <class Spec>
std::string load_error(std::size_t rows, std::size_t cols,
                       const std::function<void(edited_safetensors&)>& edit) {
  const temporary_folder folder;
  const std::filesystem::path path = folder / "m.safetensors";
  qp::save(path, qp::quantize<Spec>(random_matrix(rows, cols, 1).view()));
  edited_safetensors file(path);
  edit(file);
  file.write(path);
  try {
    (void)qp::load<qp::quantized_matrix<Spec>>(path);
  } catch (const qp::error& e) {
    const std::string message = e.what();
    CHECK(message.rfind(path.string() + ": ", 0) == 0);
    return message.substr(path.string().size() + 2);
  }
  return "no error";
}

std::vector<std::string> names(const std::filesystem::path& path) {
  std::vector<std::string> result;
  const edited_safetensors file(path);
  for (const auto& entry : file.header.items()) result.push_back(entry.key());
  return result;
}

}  // namespace

TEST_CASE("matrix_file: parts have names and shapes that another program can use",
          "[io][matrix_file]") {
  const temporary_folder folder;
  const auto path = folder / "m.safetensors";
  const auto q = qp::quantize<qp::q4_k_like>(random_matrix(3, 70, 2).view());
  qp::save(path, q);
  const edited_safetensors file(path);
  CHECK(names(path) == std::vector<std::string>{"__metadata__", "codes", "scales.codes",
                                                "scales.scales.codes", "zeros.codes",
                                                "zeros.scales.codes"});
  const auto& metadata = file.header["__metadata__"];
  CHECK(metadata["format"] == "qompose.matrix");
  CHECK(metadata["version"] == "1");
  CHECK(metadata["rows"] == "3");
  CHECK(metadata["cols"] == "70");
  CHECK(metadata["composition"] == qp::describe<qp::q4_k_like>());
  CHECK(file.header["codes"]["dtype"] == "U8");
  CHECK(file.header["codes"]["shape"] == std::vector<int>{3, 35});
  CHECK(file.header["scales.codes"]["shape"] == std::vector<int>{3, 3});  // 3 times 6 bits
  CHECK(file.header["scales.scales.codes"]["dtype"] == "F16");
  CHECK(file.header["scales.scales.codes"]["shape"] == std::vector<int>{3, 1});
  // Codes lie as packed_codes says, from a multiple of 64 bytes on.
  CHECK(file.data_start() % 64 == 0);
  CHECK(std::memcmp(file.part("codes").data(), q.codes().data(), 3 * 35) == 0);
  CHECK((std::to_integer<int>(file.part("codes")[0]) & 15) == q.code(0, 0));

  qp::save(path, qp::quantize<qp::codebook4>(random_matrix(2, 9, 2).view()));
  CHECK(names(path) == std::vector<std::string>{"__metadata__", "codebooks.codes", "codes"});
  CHECK(edited_safetensors(path).header["codebooks.codes"]["shape"] == std::vector<int>{2, 16});
  qp::save(path, qp::quantize<qp::bf16>(random_matrix(2, 9, 2).view()));
  CHECK(edited_safetensors(path).header["codes"]["dtype"] == "BF16");
  CHECK(edited_safetensors(path).header["codes"]["shape"] == std::vector<int>{2, 9});
}

TEST_CASE("matrix_file: a file of another composition is an error that prints both",
          "[io][matrix_file]") {
  const temporary_folder folder;
  const auto path = folder / "m.safetensors";
  qp::save(path, qp::quantize<qp::w4_g32>(random_matrix(4, 64, 3).view()));
  CHECK_THROWS_AS(qp::load<qp::quantized_matrix<qp::w4_g64>>(path), qp::file_error);
  CHECK_THROWS_WITH(qp::load<qp::quantized_matrix<qp::w4_g64>>(path),
                    contains("m.safetensors: composition") &&
                        contains("quant<int4, per_group<32>, scale<fp16>>") &&
                        contains("quant<int4, per_group<64>, scale<fp16>>"));
  CHECK_THROWS_WITH(qp::load<qp::quantized_matrix<qp::bf16>>(path), contains("expected bf16"));
}

TEST_CASE("matrix_file: metadata that is missing or wrong is an error", "[io][matrix_file]") {
  const auto with = [](const char* key, const nlohmann::json& value) {
    return load_error<qp::w4_g32>(2, 40, [&](edited_safetensors& file) {
      auto& metadata = file.header["__metadata__"];
      if (value.is_null()) {
        metadata.erase(key);
      } else {
        metadata[key] = value;
      }
    });
  };
  CHECK_THAT(with("format", {}), contains("the metadata has no format"));
  CHECK_THAT(with("format", "pt"), contains("format: the file has pt, expected qompose.matrix"));
  CHECK_THAT(with("format", "qompose.layer"), contains("expected qompose.matrix"));
  CHECK_THAT(with("version", "2"), contains("version: the file has 2, expected 1"));
  CHECK_THAT(with("version", 1), contains("the metadata has no version"));
  CHECK_THAT(with("composition", {}), contains("the metadata has no composition"));
  CHECK_THAT(with("rows", {}), contains("the metadata has no rows"));
  for (const char* text : {"", "-2", "+2", "2 ", " 2", "2.0", "0x2", "two", "99999999999999999999",
                           "1099511627777", "18446744073709551615"}) {
    CHECK_THAT(with("rows", text), contains(std::string("rows: the file has ") + text));
    CHECK_THAT(with("cols", text), contains(std::string("cols: the file has ") + text));
  }
  CHECK_THAT(with("rows", "3"), contains("codes: U8 [2, 20], expected U8 [3, 20]"));
  CHECK_THAT(with("cols", "39"), contains("bits behind the last code are set"));
  CHECK_THAT(with("cols", "64"), contains("codes: U8 [2, 20], expected U8 [2, 32]"));
  CHECK_THAT(with("cols", "1099511627776"), contains("codes: U8 [2, 20], expected"));
  CHECK_THAT(load_error<qp::w4_g32>(2, 40, [](auto& file) { file.header.erase("__metadata__"); }),
             contains("the metadata has no format"));
  CHECK_THAT(load_error<qp::fp32>(2, 4,
                                  [](edited_safetensors& file) {
                                    file.header["__metadata__"]["rows"] = "1099511627776";
                                    file.header["__metadata__"]["cols"] = "1099511627776";
                                  }),
             contains("codes: size 1099511627776 * 1099511627776 overflows"));
}

TEST_CASE("matrix_file: an empty matrix of absurd length is read without effort",
          "[io][matrix_file]") {
  const temporary_folder folder;
  const auto path = folder / "m.safetensors";
  qp::save(path, qp::quantize<qp::q4_k_like>(random_matrix(3, 0, 2).view()));
  edited_safetensors file(path);
  file.header["__metadata__"]["rows"] = "1099511627776";
  for (auto& entry : file.header) {
    if (entry.contains("shape")) entry["shape"][0] = std::uint64_t{1} << 40;
  }
  file.write(path);
  CHECK(qp::load<qp::quantized_matrix<qp::q4_k_like>>(path).rows() == std::size_t{1} << 40);
}

TEST_CASE("matrix_file: parts that are missing, unknown or of another shape are errors",
          "[io][matrix_file]") {
  const auto with = [](const std::function<void(edited_safetensors&)>& edit) {
    return load_error<qp::w4_zero_g128>(2, 40, edit);
  };
  CHECK_THAT(with([](auto& file) { file.erase("zeros.codes"); }),
             contains("zeros.codes: this part is missing"));
  CHECK_THAT(with([](auto& file) { file.erase("codes"); }),
             contains("codes: this part is missing"));
  CHECK_THAT(with([](auto& file) { file.add("bias", "F32", {1}, 4); }),
             contains("bias: is no part of this composition"));
  CHECK_THAT(with([](auto& file) { file.add("", "F32", {0}, 0); }),
             contains("is no part of this composition"));
  CHECK_THAT(with([](auto& file) { file.header["codes"]["shape"] = {20, 2}; }),
             contains("codes: U8 [20, 2], expected U8 [2, 20]"));
  CHECK_THAT(with([](auto& file) { file.header["codes"]["shape"] = {40}; }),
             contains("codes: U8 [40], expected U8 [2, 20]"));
  CHECK_THAT(with([](auto& file) { file.header["scales.codes"]["dtype"] = "BF16"; }),
             contains("scales.codes: BF16 [2, 1], expected F16 [2, 1]"));
  CHECK_THAT(with([](auto& file) { file.header["codes"]["dtype"] = 8; }),
             contains("codes: ? [2, 20]"));
  CHECK_THAT(with([](auto& file) { file.resize("codes", 39); }),
             contains("codes: has 39 bytes, expected 40"));
  CHECK_THAT(with([](auto& file) { file.resize("scales.codes", 6); }),
             contains("scales.codes: has 6 bytes, expected 4"));
}

TEST_CASE("matrix_file: values that a format does not have are errors that name the part",
          "[io][matrix_file]") {
  const auto put = [](const char* part, std::size_t at, auto value) {
    return [=](edited_safetensors& file) { file.put(part, at, value); };
  };
  const std::uint16_t half_nan = 0x7e00;
  const std::uint16_t half_infinity = 0xfc00;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();

  CHECK_THAT(
      load_error<qp::w4_g32>(2, 40, put("scales.codes", 6, half_nan)),
      contains("scales.codes: element (1, 1) has code 32256, which is no finite value of fp16"));
  CHECK_THAT(load_error<qp::w4_g32>(2, 40, put("scales.codes", 0, half_infinity)),
             contains("scales.codes: element (0, 0)"));
  CHECK_THAT(load_error<qp::w8_channel>(2, 40, put("scales.codes", 4, nan)),
             contains("scales.codes: element (1, 0)"));
  CHECK_THAT(load_error<qp::w8_channel>(2, 40, put("scales.codes", 0, -infinity)),
             contains("scales.codes: element (0, 0)"));
  CHECK_THAT(load_error<qp::w4_minimum_g32>(2, 40, put("zeros.codes", 2, half_infinity)),
             contains("zeros.codes: element (0, 1)"));
  CHECK_THAT(
      load_error<qp::mxfp4>(2, 40, put("scales.codes", 1, std::uint8_t{255})),
      contains("scales.codes: element (0, 1) has code 255, which is no finite value of e8m0"));
  CHECK_THAT(load_error<qp::nvfp4>(2, 40, put("scales.codes", 0, std::uint8_t{0x7f})),
             contains("scales.codes: element (0, 0) has code 127"));
  CHECK_THAT(load_error<qp::nvfp4>(2, 40, put("scales.scales.codes", 0, nan)),
             contains("scales.scales.codes: element (0, 0)"));
  // Each level is finite, their product is not.
  CHECK_THAT(load_error<qp::vsq4_v16>(2, 40, put("scales.scales.codes", 0, 3e38f)),
             contains("scales: the scale or minimum of row 0"));
  CHECK_THAT(load_error<qp::ternary_channel>(2, 40, put("codes", 11, std::uint8_t{0xc0})),
             contains("codes: element (1, 7) has code 3, which is no finite value of ternary"));
  using codebook5 = qp::quant<qp::codebook<5>, qp::per_channel>;
  CHECK_THAT(
      load_error<codebook5>(1, 8, put("codes", 0, std::uint8_t{5})),
      contains("codes: element (0, 0) has code 5, which is no finite value of codebook<5, fp16>"));
  CHECK_THAT(load_error<qp::codebook4>(2, 40, put("codebooks.codes", 62, half_nan)),
             contains("codebooks.codes: element (1, 15)"));
  CHECK_THAT(load_error<qp::fp8_e4m3_channel>(2, 40, put("codes", 41, std::uint8_t{0xff})),
             contains("codes: element (1, 1) has code 255, which is no finite value of fp8_e4m3"));
  CHECK_THAT(load_error<qp::fp8_e5m2_tensor>(2, 40, put("codes", 41, std::uint8_t{0x7c})),
             contains("codes: element (1, 1) has code 124"));
  CHECK_THAT(load_error<qp::fp16>(2, 40, put("codes", 2, half_nan)),
             contains("codes: element (0, 1)"));
  CHECK_THAT(load_error<qp::bf16>(2, 40, put("codes", 2, std::uint16_t{0xff80})),
             contains("codes: element (0, 1)"));
  CHECK_THAT(load_error<qp::fp32>(2, 40, put("codes", 4, nan)), contains("codes: element (0, 1)"));
  CHECK_THAT(load_error<qp::w4_progressive>(2, 40, put("scales.codes", 0, std::uint8_t{255})),
             contains("codes: element (0, ") && contains("(code - zero_point) * inner scale"));
  CHECK_THAT(load_error<qp::w3_channel>(2, 3, put("codes", 3, std::uint8_t{0x80})),
             contains("codes: row 1: bits behind the last code are set"));
}

TEST_CASE("matrix_file: every code that the stored type holds is accepted", "[io][matrix_file]") {
  using symmetric = qp::quant<qp::int_n<8, qp::code_range::symmetric>, qp::per_channel>;
  const auto lowest = [](edited_safetensors& file) { file.put("codes", 0, std::uint8_t{0x80}); };
  CHECK(load_error<symmetric>(1, 8, lowest) == "no error");
  CHECK(load_error<qp::mxint8>(1, 8, lowest) == "no error");
}

TEST_CASE("matrix_file: a file that is no safetensors file is an error that names it",
          "[io][matrix_file]") {
  using type = qp::quantized_matrix<qp::w4_g32>;
  const temporary_folder folder;
  const auto path = folder / "m.safetensors";
  CHECK_THROWS_WITH(qp::load<type>(path), contains("m.safetensors"));
  CHECK_THROWS_WITH(qp::load<type>(folder.path()), contains("is a folder"));
  write_file(path, std::string_view("short"));
  CHECK_THROWS_WITH(qp::load<type>(path), contains("m.safetensors: is too short"));

  qp::save(path, qp::quantize<qp::w4_g32>(random_matrix(9, 70, 1).view()));
  const std::vector<std::byte> whole = read_file(path);
  const auto original = qp::load<type>(path);
  for (std::size_t size = 0; size < whole.size(); size += size < 700 ? 1 : 61) {
    write_file(path, std::span(whole).first(size));
    CHECK_THROWS_AS(qp::load<type>(path), qp::file_error);
  }
  // Whatever byte is damaged, the load ends in an error or in a matrix.
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::vector<std::byte> damaged = whole;
    damaged[at] ^= std::byte{0x55};
    write_file(path, damaged);
    try {
      const auto loaded = qp::load<type>(path);
      CHECK(loaded.rows() == 9);
    } catch (const qp::error&) {
    }
  }
  write_file(path, whole);
  CHECK(same(qp::load<type>(path), original));
}

TEST_CASE("matrix_file: a save replaces the file or leaves everything as it was",
          "[io][matrix_file]") {
  const temporary_folder folder;
  const auto path = folder / "m.safetensors";
  const auto first = qp::quantize<qp::w4_g32>(random_matrix(3, 40, 1).view());
  qp::save(path, first);
  const auto second = qp::quantize<qp::w8_channel>(random_matrix(3, 40, 1).view());
  qp::save(path, second);
  CHECK(same(qp::load<qp::quantized_matrix<qp::w8_channel>>(path), second));

  // A matrix that was moved away has no codes to write.
  auto hollow = first;
  const auto taken = std::move(hollow.codes());
  CHECK_THROWS_WITH(qp::save(path, hollow), contains("codes, which has 0 of its 60 bytes"));
  CHECK(same(qp::load<qp::quantized_matrix<qp::w8_channel>>(path), second));
  CHECK_THROWS_AS(qp::save(folder / "absent/m.safetensors", first), qp::file_error);
  CHECK_THROWS_AS(qp::save(folder.path(), first), qp::file_error);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

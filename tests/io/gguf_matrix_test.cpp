// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/gguf_matrix.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/rules/absmax_ties_away.hpp"
#include "qompose/rules/signed_extreme.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"
#include "support/reference_data.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::matrix;
using qompose_tests::read_file;
using qompose_tests::reference_data;
using qompose_tests::temporary_folder;

namespace {

using groups = qp::per_group<32>;
using half = qp::scale<qp::fp16>;
using qp::mxfp4;
using qp::nvfp4;
using qp::q4_0;
using qp::q5_1;
using narrow_int4 = qp::quant<qp::int_n<4, qp::code_range::symmetric>, groups, half>;

/// Compositions that decode to the same floats, bit for bit.
using exact =
    std::tuple<qp::fp32, qp::fp16, qp::bf16, q4_0, qp::q4_1, qp::q5_0, q5_1, qp::q8_0, narrow_int4>;

/// A composition and the rule by which ggml's reference fits and rounds it.
template <class Spec, class Rule>
struct ggml_type {
  using spec = Spec;
  using rule = Rule;
};
using ggml_types =
    std::tuple<ggml_type<qp::fp16, qp::default_rule>, ggml_type<qp::bf16, qp::default_rule>,
               ggml_type<q4_0, qp::signed_extreme>, ggml_type<qp::q4_1, qp::signed_extreme>,
               ggml_type<qp::q5_0, qp::signed_extreme>, ggml_type<q5_1, qp::signed_extreme>,
               ggml_type<qp::q8_0, qp::absmax_ties_away>>;

static_assert(qp::has_gguf_twin<q4_0> && qp::has_gguf_twin<mxfp4> && qp::has_gguf_twin<qp::bf16>);
static_assert(!qp::has_gguf_twin<qp::quant<qp::int4, qp::per_group<64>, half>>);
static_assert(!qp::has_gguf_twin<qp::quant<qp::int4, groups>>, "float scales");
static_assert(!qp::has_gguf_twin<qp::quant<qp::uint4, groups, half>>, "no minimum");
static_assert(!qp::has_gguf_twin<int>);
static_assert(qp::has_gguf_tensor_scale<nvfp4> && !qp::has_gguf_tensor_scale<mxfp4>);

/// Numbers of several magnitudes, and groups of zeros, of one value and of tiny values.
matrix varied(std::size_t rows, std::size_t cols) {
  matrix m = qompose_tests::random_matrix(rows, cols, 11);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) m(r, c) *= std::ldexp(0.05f, static_cast<int>(r) - 4);
  }
  for (std::size_t c = 0; c < 32; ++c) {
    m(0, c) = 0.0f;
    m(1, c) = -0.5f;
    m(2, c) = c == 3 ? -2.0f : 0.001f;
    m(3, c) = 1e-7f * static_cast<float>(c);
  }
  return m;
}

bool same_bits(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

template <class Spec>
qp::quantized_matrix<Spec> write_and_quantize(const std::filesystem::path& path, const matrix& m) {
  const auto q = qp::quantize<Spec>(m.view());
  qp::gguf_writer out(path);
  qp::declare_matrix<Spec>(out, "m.weight", m.rows(), m.cols());
  qp::write_matrix(out, "m.weight", q);
  out.finish();
  return q;
}

std::vector<float> read_values(const qp::file_tensor& tensor) {
  std::vector<float> values(tensor.rows() * tensor.cols());
  tensor.decode_rows(0, tensor.rows(), values.data());
  return values;
}

template <class Spec>
const qp::tensor_encoding& encoding() {
  return *qp::find_ggml_encoding(qp::gguf_twin<Spec>::type);
}

/// ggml's own bytes and floats of a type; empty without reference data.
struct reference {
  std::vector<std::byte> blocks;
  matrix input{0, 0};

  template <class Spec>
  static reference of() {
    const std::filesystem::path folder = reference_data("vectors/ggml");
    if (folder.empty()) return {};
    std::string stem;
    for (const char c : encoding<Spec>().name) {
      stem += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    reference result;
    result.blocks = read_file(folder / (stem + "_quant.bin"));
    const std::vector<std::byte> floats = read_file(folder / "input_6x1024.f32.bin");
    result.input = matrix(6, 1024);
    std::memcpy(result.input.values().data(), floats.data(), floats.size());
    return result;
  }
};

std::vector<float> decode(const qp::tensor_encoding& encoding, std::span<const std::byte> blocks) {
  const std::size_t n_blocks = blocks.size() / encoding.block_bytes;
  std::vector<float> values(n_blocks * encoding.block_size);
  encoding.decode(blocks.data(), n_blocks, values.data());
  return values;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gguf_matrix: a file decodes to the values of the matrix, bit for bit",
                        "[io][gguf]", exact) {
  const temporary_folder folder;
  const matrix m = varied(9, 128);
  const auto q = write_and_quantize<TestType>(folder / "m.gguf", m);
  const qp::gguf_file file(folder / "m.gguf");
  REQUIRE(file.tensors().size() == 1);
  const std::vector<float> read = read_values(file.tensors()[0]);
  matrix expected(m.rows(), m.cols());
  qp::dequantize(q, expected.view());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (!same_bits(read[i], expected.values()[i])) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("gguf_matrix: MXFP4 decodes to the values of the matrix, but for the sign of zeros",
          "[io][gguf]") {
  const temporary_folder folder;
  const matrix m = varied(9, 128);
  const auto q = write_and_quantize<mxfp4>(folder / "m.gguf", m);
  const std::vector<float> read =
      read_values(*qp::gguf_file(folder / "m.gguf").find_tensor("m.weight"));
  for (std::size_t i = 0; i < read.size(); ++i) REQUIRE(read[i] == q.value(i / 128, i % 128));
}

TEST_CASE("gguf_matrix: NVFP4 keeps codes, group scales and the tensor's scale", "[io][gguf]") {
  const temporary_folder folder;
  const matrix m = varied(9, 128);
  const auto q = write_and_quantize<nvfp4>(folder / "m.gguf", m);
  const qp::gguf_file file(folder / "m.gguf");
  REQUIRE(file.tensors().size() == 2);
  REQUIRE(file.find_tensor("m.scale") != nullptr);
  CHECK(file.find_tensor("m.scale")->shape == std::vector<std::size_t>{1});
  const float factor = read_values(*file.find_tensor("m.scale")).front();
  CHECK(same_bits(factor, q.scales().scale(0, 0)));
  const std::vector<float> read = read_values(*file.find_tensor("m.weight"));
  for (std::size_t r = 0; r < m.rows(); ++r) {
    for (std::size_t c = 0; c < m.cols(); ++c) {
      // Code times group scale needs 6 bits, so this product is exact.
      const float expected =
          qp::fp4_e2m1::decode(q.code(r, c)) *
          qp::fp8_e4m3::decode(static_cast<std::uint8_t>(q.scale_code(r, c / 16)));
      REQUIRE(read[r * m.cols() + c] == expected);
      // The order of the two other multiplications differs: one rounding each, of half an ulp.
      const float value = read[r * m.cols() + c] * factor;
      REQUIRE(std::fabs(value - q.value(r, c)) <= 0x1.8p-23f * std::fabs(value));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("gguf_matrix: what is rounded by ggml's rule is stored as ggml's bytes",
                        "[io][gguf][ggml]", ggml_types) {
  using spec = typename TestType::spec;
  const reference ggml = reference::of<spec>();
  if (ggml.blocks.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data("vectors/ggml"));
  const auto q = qp::quantize<spec>(ggml.input.view(), typename TestType::rule{});
  CHECK(qp::gguf_blocks(q) == ggml.blocks);
}

TEST_CASE("gguf_matrix: blocks of ggml's 4-bit floats and scales are ggml's bytes",
          "[io][gguf][ggml]") {
  const reference mx = reference::of<mxfp4>();
  if (mx.blocks.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data("vectors/ggml"));
  const auto code_of = [](float value, float scale) {
    return qp::fp4_e2m1::encode(scale == 0.0f ? 0.0f : value / scale);
  };
  qp::quantized_matrix<mxfp4> q(6, 1024);
  const std::vector<float> mx_values = decode(encoding<mxfp4>(), mx.blocks);
  for (std::size_t i = 0; i < mx_values.size(); ++i) {
    const auto scale = std::to_integer<std::uint8_t>(mx.blocks[i / 32 * 17]);
    q.scales().set_code(i / 1024, i % 1024 / 32, scale);
    q.set_code(i / 1024, i % 1024, code_of(mx_values[i], qp::e8m0::decode(scale)));
  }
  CHECK(qp::gguf_blocks(q) == mx.blocks);

  const reference nv = reference::of<nvfp4>();
  qp::quantized_matrix<nvfp4> n(6, 1024);
  const std::vector<float> nv_values = decode(encoding<nvfp4>(), nv.blocks);
  for (std::size_t i = 0; i < nv_values.size(); ++i) {
    const auto scale = std::to_integer<std::uint8_t>(nv.blocks[i / 64 * 36 + i % 64 / 16]);
    n.scales().set_code(i / 1024, i % 1024 / 16, scale);
    n.set_code(i / 1024, i % 1024, code_of(nv_values[i], qp::fp8_e4m3::decode(scale)));
  }
  CHECK(qp::gguf_blocks(n) == nv.blocks);
}

TEST_CASE("gguf_matrix: rows can be written in pieces and by several threads", "[io][gguf]") {
  const matrix m = varied(9, 128);
  const auto whole = qp::quantize<q5_1>(m.view());
  const std::vector<std::byte> expected = qp::gguf_blocks(whole);
  CHECK(qp::gguf_blocks(whole, qp::thread_pool(3)) == expected);

  const temporary_folder folder;
  qp::gguf_writer out(folder / "m.gguf");
  qp::declare_matrix<q5_1>(out, "m", m.rows(), m.cols());
  qp::write_matrix(out, "m", qp::quantize<q5_1>(m.view().rows(0, 4)));
  qp::write_matrix(out, "m", qp::quantize<q5_1>(m.view().rows(4, 5)));
  out.finish();
  CHECK(std::ranges::equal(qp::gguf_file(folder / "m.gguf").find_tensor("m")->bytes, expected));
}

TEST_CASE("gguf_matrix: rows that are not whole blocks are an error", "[io][gguf]") {
  const matrix m(2, 48, 1.0f);
  CHECK_THROWS_AS(qp::gguf_blocks(qp::quantize<q4_0>(m.view())), qp::shape_error);
  CHECK_THROWS_WITH(qp::gguf_blocks(qp::quantize<q4_0>(m.view())),
                    contains("rows of 48 elements, expected a multiple of 32 for Q4_0"));
  CHECK_THROWS_WITH(qp::gguf_blocks(qp::quantize<nvfp4>(m.view())),
                    contains("rows of 48 elements, expected a multiple of 64 for NVFP4"));
}

TEST_CASE("gguf_matrix: a scale that the type does not have is an error", "[io][gguf]") {
  qp::quantized_matrix<mxfp4> mx(2, 64);
  mx.scales().set_code(1, 1, 255);
  CHECK_THROWS_WITH(qp::gguf_blocks(mx), contains("row 1, group 1") && contains("MXFP4"));
  qp::quantized_matrix<nvfp4> nv(2, 64);
  nv.scales().set_code(0, 3, qp::fp8_e4m3::encode(-1.0f));
  CHECK_THROWS_AS(qp::gguf_blocks(nv), qp::value_error);
  CHECK_THROWS_WITH(qp::gguf_blocks(nv), contains("row 0, group 3") && contains("NVFP4"));
}

TEST_CASE("gguf_matrix: the scale of a tensor is named after it", "[io][gguf]") {
  CHECK(qp::gguf_scale_name("blk.0.attn_q.weight") == "blk.0.attn_q.scale");
  CHECK(qp::gguf_scale_name("odd") == "odd.scale");
}

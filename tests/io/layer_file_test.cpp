// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/layer_file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qompose/io/matrix_file.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/recipe/presets.hpp"
#include "qompose/transforms/random_signs.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/edited_safetensors.hpp"
#include "support/layer_outputs.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"
#include "support/temporary_folder.hpp"
#include "support/transform_data.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Saves a [rows, cols] layer with a bias, lets `edit` change the file, and returns what `load`
/// says.
template <class Recipe>
std::string load_error(std::size_t rows, std::size_t cols,
                       const std::function<void(edited_safetensors&)>& edit) {
  const temporary_folder folder;
  const std::filesystem::path path = folder / "layer.safetensors";
  const matrix bias = random_matrix(1, rows, 2);
  qp::save(path, qp::compress<Recipe>(random_matrix(rows, cols, 1).view(), bias.values()));
  edited_safetensors file(path);
  edit(file);
  file.write(path);
  try {
    (void)qp::load<qp::linear<Recipe>>(path);
  } catch (const qp::error& e) {
    const std::string message = e.what();
    CHECK(message.rfind(path.string() + ": ", 0) == 0);
    return message.substr(path.string().size() + 2);
  }
  return "no error";
}

}  // namespace

TEST_CASE("layer_file: panels lie in the mapped file, and are copied on demand or where they must",
          "[io][layer_file]") {
  using layer_type = qp::linear<qp::w4a8_g32>;
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  qp::save(path, qp::compress<qp::w4a8_g32>(random_matrix(32, 64, 1).view()));
  const auto panels = [&](const layer_type& layer) { return layer.weights().panels(); };
  const auto flip = [&](std::size_t at) {
    // In place, so that who has mapped the file sees it.
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('\x21');
  };

  const edited_safetensors file(path);
  const auto mapped = qp::load<layer_type>(path);
  const auto copied = qp::load<layer_type>(path, qp::placement::copied);
  CHECK(reinterpret_cast<std::uintptr_t>(panels(mapped).data()) % 64 == 0);
  CHECK(std::to_integer<int>(file.part("panels")[0]) != 0x21);
  flip(file.data_start());
  CHECK(panels(mapped)[0] == 0x21);
  CHECK(panels(copied)[0] != 0x21);

  // Another writer need not align anything.
  edited_safetensors unaligned(path);
  unaligned.header["__metadata__"]["comment"] = "";
  for (int i = 0; i < 64; ++i) {
    unaligned.header["__metadata__"]["comment"] = std::string(static_cast<std::size_t>(i), ' ');
    unaligned.write(path);
    const auto loaded = qp::load<layer_type>(path);
    CHECK(reinterpret_cast<std::uintptr_t>(panels(loaded).data()) % 64 == 0);
    CHECK(same(loaded.quantized(), mapped.quantized()));
  }
}

TEST_CASE("layer_file: a file of another composition is an error that prints both",
          "[io][layer_file]") {
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  qp::save(path, qp::compress<qp::w4a8_g32_hadamard>(random_matrix(4, 64, 3).view()));
  CHECK_THROWS_AS(qp::load<qp::linear<qp::w4a8_g32>>(path), qp::file_error);
  CHECK_THROWS_WITH(
      qp::load<qp::linear<qp::w4a8_g32>>(path),
      contains("the file has recipe<weight<quant<int4, per_group<32>, scale<fp16>>>, "
               "activation<quant<int8, per_token>>, transform<block_hadamard<64>>>") &&
          contains("expected recipe<weight<quant<int4, per_group<32>, scale<fp16>>>, "
                   "activation<quant<int8, per_token>>>"));
  CHECK_THROWS_WITH(qp::load<qp::quantized_matrix<qp::w4_g32>>(path),
                    contains("format: the file has qompose.layer, expected qompose.matrix"));
  // A spec alone means the recipe with these weights.
  qp::save(path, qp::compress<qp::w4_g32>(random_matrix(4, 64, 3).view()));
  CHECK(qp::load<qp::linear<qp::w4a32_g32>>(path).in_features() == 64);
}

TEST_CASE("layer_file: the data of a transform is kept", "[io][layer_file]") {
  using recipe = qp::recipe<
      qp::weight<qp::w8_channel>, qp::activation<qp::a8_token>,
      qp::transform<qp::then<qp::channel_scale, qp::then<qp::random_signs<5>, qp::hadamard>>>>;
  using data = qp::linear<recipe>::transform_data;
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  const matrix bias = random_matrix(1, 20, 4);
  const matrix w = random_matrix(20, 48, 3);
  const data transform{some_data<qp::channel_scale>(48),
                       some_data<qp::then<qp::random_signs<5>, qp::hadamard>>(48)};
  for (const bool has_bias : {false, true}) {
    const auto layer = qp::compress<recipe>(
        w.view(), has_bias ? std::span<const float>(bias.values()) : std::span<const float>(),
        qp::absmax{}, qp::serial{}, transform);
    qp::save(path, layer);
    const auto loaded = qp::load<qp::linear<recipe>>(path);
    const matrix x = random_matrix(3, 48, 6);
    CHECK(same(loaded.quantized(), layer.quantized()));
    CHECK(outputs(loaded, x) == outputs(layer, x));
    CHECK(loaded.storage_bytes() == layer.storage_bytes());
  }
  // A factor of zero, which nothing could undo.
  edited_safetensors file(path);
  CHECK(file.header["transform"]["shape"] == nlohmann::json{48});
  file.put("transform", 8, 0.0f);
  file.write(path);
  CHECK_THROWS_WITH(qp::load<qp::linear<recipe>>(path),
                    contains("channel_scale: factor of channel 2: 0.0"));

  CHECK_THROWS_AS(qp::compress<recipe>(random_matrix(20, 47, 3).view(), {}, qp::absmax{},
                                       qp::serial{}, transform),
                  qp::shape_error);
}

TEST_CASE("layer_file: stored scales of activations are kept, and must be positive numbers",
          "[io][layer_file]") {
  using codes = qp::quant<qp::int8, qp::per_group<32>, qp::scale<qp::fp16>>;
  using transform = qp::then<qp::channel_scale, qp::block_hadamard<16>>;
  using recipe = qp::recipe<qp::weight<qp::w4_g32>, qp::activation<codes, qp::calibrated>,
                            qp::transform<transform>>;
  using layer_type = qp::linear<recipe>;
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  const matrix x = random_matrix(3, 70, 6);
  const matrix bias = random_matrix(1, 20, 4);
  qp::activation_statistics<transform> inputs(70, some_data<transform>(70));
  inputs.add(x.view());
  for (const bool has_bias : {false, true}) {
    const auto layer = qp::compress<recipe>(
        random_matrix(20, 70, 3).view(),
        has_bias ? std::span<const float>(bias.values()) : std::span<const float>(), inputs);
    qp::save(path, layer);
    const auto loaded = qp::load<layer_type>(path);
    CHECK(loaded.activation_scales().size() == 3);
    CHECK(outputs(loaded, x) == outputs(layer, x));
    CHECK(loaded.storage_bytes() == layer.storage_bytes());
  }
  const edited_safetensors file(path);
  CHECK(file.header["activation_scales"]["shape"] == nlohmann::json{3});
  CHECK(file.header["__metadata__"]["composition"] == qp::describe<recipe>());

  const auto with = [&](const std::function<void(edited_safetensors&)>& edit) {
    edited_safetensors damaged(file);
    edit(damaged);
    damaged.write(path);
    CHECK_THROWS_WITH(qp::load<layer_type>(path), contains("activation_scales: "));
  };
  using limits = std::numeric_limits<float>;
  // The last is finite and positive, but no number of fp16.
  for (const float scale : {limits::quiet_NaN(), limits::infinity(), 0.0f, -1.0f, 0.1f}) {
    with([&](edited_safetensors& damaged) { damaged.put("activation_scales", 4, scale); });
  }
  with([](edited_safetensors& damaged) { damaged.erase("activation_scales"); });
  with([](edited_safetensors& damaged) { damaged.resize("activation_scales", 8); });
  // Scales beside a recipe that stores none.
  CHECK_THAT(load_error<qp::w8a8>(
                 2, 40, [](auto& other) { other.add("activation_scales", "F32", {1}, 4); }),
             contains("activation_scales: is no part of this composition"));
}

TEST_CASE("layer_file: metadata that is missing or wrong is an error", "[io][layer_file]") {
  const auto with = [](const char* key, const nlohmann::json& value) {
    return load_error<qp::w4a8_g32>(2, 40, [&](edited_safetensors& file) {
      auto& metadata = file.header["__metadata__"];
      if (value.is_null()) {
        metadata.erase(key);
      } else {
        metadata[key] = value;
      }
    });
  };
  CHECK_THAT(with("format", {}), contains("the metadata has no format"));
  CHECK_THAT(with("version", "2"), contains("version: the file has 2, expected 1"));
  CHECK_THAT(with("panel_layout", "0"), contains("panel_layout: the file has 0, expected 4"));
  CHECK_THAT(with("panel_layout", {}), contains("the metadata has no panel_layout"));
  CHECK_THAT(with("in_features", "-1"), contains("in_features: the file has -1"));
  CHECK_THAT(with("out_features", "17"), contains("panels: U8 [1, 448], expected U8 [2, 448]"));
  CHECK_THAT(with("out_features", "3"), contains("bias: F32 [2], expected F32 [3]"));
  CHECK_THAT(with("in_features", "41"), contains("panels: U8 [1, 448], expected U8 [1, 512]"));
  CHECK_THAT(
      load_error<qp::w4a8_g32>(2, 40,
                               [](edited_safetensors& file) {
                                 file.header["__metadata__"]["in_features"] = "1099511627776";
                                 file.header["__metadata__"]["out_features"] = "1099511627776";
                               }),
      contains("panels: size") && contains("overflows"));
}

TEST_CASE("layer_file: a layer of absurd length without inputs is read without effort",
          "[io][layer_file]") {
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  qp::save(path, qp::compress<qp::w8a8>(random_matrix(16, 0, 2).view()));
  edited_safetensors file(path);
  file.header["__metadata__"]["out_features"] = "1099511627776";
  file.header["panels"]["shape"][0] = std::uint64_t{1} << 36;
  file.header["scales.codes"]["shape"][0] = std::uint64_t{1} << 40;
  file.write(path);
  CHECK(qp::load<qp::linear<qp::w8a8>>(path).out_features() == std::size_t{1} << 40);
}

TEST_CASE("layer_file: parts that are missing, unknown or of another shape are errors",
          "[io][layer_file]") {
  const auto with = [](const std::function<void(edited_safetensors&)>& edit) {
    return load_error<qp::w4a8_minimum_g32>(2, 40, edit);
  };
  CHECK(with([](auto& file) { file.erase("bias"); }) == "no error");
  CHECK_THAT(with([](auto& file) { file.erase("panels"); }),
             contains("panels: this part is missing"));
  CHECK_THAT(load_error<qp::recipe<qp::weight<qp::w4_progressive>>>(
                 2, 40, [](auto& file) { file.erase("scales.scales.codes"); }),
             contains("scales.scales.codes: this part is missing"));
  CHECK_THAT(load_error<qp::recipe<qp::weight<qp::q4_k_like>>>(
                 2, 40, [](auto& file) { file.erase("zeros.codes"); }),
             contains("zeros.codes: this part is missing"));
  CHECK_THAT(with([](auto& file) { file.add("scales.codes", "F16", {2, 2}, 8); }),
             contains("scales.codes: is no part of this composition"));
  CHECK_THAT(load_error<qp::recipe<qp::weight<qp::nvfp4>>>(
                 2, 40, [](auto& file) { file.add("scales.codes", "U8", {2, 3}, 6); }),
             contains("scales.codes: is no part of this composition"));
  CHECK_THAT(with([](auto& file) { file.add("codes", "U8", {2, 20}, 40); }),
             contains("codes: is no part of this composition"));
  CHECK_THAT(with([](auto& file) { file.resize("panels", 64); }),
             contains("panels: has 64 bytes, expected 448"));
  CHECK_THAT(with([](auto& file) { file.header["bias"]["dtype"] = "I32"; }),
             contains("bias: I32 [2], expected F32 [2]"));
}

TEST_CASE("layer_file: values that a format does not have are errors that name the part",
          "[io][layer_file]") {
  const auto put = [](const char* part, std::size_t at, auto value) {
    return [=](edited_safetensors& file) { file.put(part, at, value); };
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  using ternary = qp::recipe<qp::weight<qp::ternary_channel>>;
  using codebook5 = qp::recipe<qp::weight<qp::quant<qp::codebook<5>, qp::per_channel>>>;
  using fp8 = qp::recipe<qp::weight<qp::fp8_e4m3_channel>>;
  using int3_weights = qp::recipe<qp::weight<qp::w3_channel>>;
  using int6_weights = qp::recipe<qp::weight<qp::quant<qp::int6, qp::per_channel>>>;
  using uint7_weights = qp::recipe<qp::weight<qp::quant<qp::uint7, qp::per_channel>>>;
  using fp6 = qp::recipe<qp::weight<qp::mxfp6_e2m3>>;
  using fp8_g32 = qp::quant<qp::fp8_e4m3, qp::per_group<32>, qp::scale<qp::fp16>>;
  using progressive = qp::recipe<qp::weight<qp::w4_progressive>>;
  using nvfp4 = qp::recipe<qp::weight<qp::nvfp4>>;

  CHECK_THAT(load_error<qp::w8a8>(2, 40, put("scales.codes", 4, nan)),
             contains("scales.codes: element (1, 0)"));
  CHECK_THAT(load_error<qp::w8a8>(2, 40, put("bias", 4, nan)),
             contains("bias: element (0, 1) is NaN"));
  // Scales and minima in the panels: those of the first group, then its codes.
  CHECK_THAT(load_error<qp::w4a8_g32>(2, 40, put("panels", 2, std::uint16_t{0x7e00})),
             contains("panels: byte 2 holds 0, which is part of no finite value of fp16"));
  CHECK_THAT(load_error<qp::w4a8_minimum_g32>(2, 40, put("panels", 32 + 1, std::uint8_t{0x7c})),
             contains("panels: byte 32 holds"));
  CHECK_THAT(load_error<qp::recipe<qp::weight<qp::mxfp4>>>(
                 2, 40, put("panels", 16 + 1, std::uint8_t{255})),
             contains("panels: byte 17 holds 255, which is part of no finite value of e8m0"));
  CHECK_THAT(
      load_error<qp::recipe<qp::weight<fp8_g32>>>(2, 40, put("panels", 128, std::uint8_t{0x7f})),
      contains("panels: byte 128 holds 127"));
  // A code that the bits cannot spell, and one that the format leaves out.
  CHECK_THAT(load_error<ternary>(2, 40, put("panels", 70, std::uint8_t{0xc0})),
             contains("panels: byte 70 holds 192, which is part of no finite value of ternary"));
  CHECK_THAT(load_error<ternary>(2, 40, put("panels", 5, std::uint8_t{3})),
             contains("panels: byte 5 holds 3"));
  // The third bit of each code; the bytes of the other two are what is named.
  CHECK_THAT(load_error<codebook5>(2, 40, put("panels", 128, std::uint8_t{0xff})),
             contains("panels: byte 0 holds"));
  CHECK_THAT(load_error<fp8>(2, 40, put("panels", 639, std::uint8_t{0x7f})),
             contains("panels: byte 639 holds 127"));
  // Every bit is part of a code here.
  CHECK(load_error<int3_weights>(2, 40, put("panels", 1, std::uint8_t{0xff})) == "no error");
  CHECK(load_error<int6_weights>(2, 40, put("panels", 1, std::uint8_t{0xe0})) == "no error");
  CHECK_THAT(load_error<uint7_weights>(2, 40, put("panels", 1, std::uint8_t{128})),
             contains("panels: byte 1 holds 128"));
  CHECK(load_error<fp6>(2, 40, put("panels", 1, std::uint8_t{64})) == "no error");
  CHECK_THAT(load_error<qp::recipe<>>(2, 1300, put("panels", 16384 + 8, nan)),
             contains("panels: byte 16392"));
  CHECK_THAT(load_error<qp::w16a32>(2, 40, put("panels", 2, std::uint16_t{0x7f80})),
             contains("panels: byte 2"));
  CHECK_THAT(load_error<qp::w1a1>(2, 40, put("panels", 8 + 5, std::uint8_t{1})),
             contains("panels: the word at byte 8 has bits past the last of 40 columns"));
  CHECK_THAT(load_error<progressive>(2, 40, put("panels", 0, std::uint8_t{255})),
             contains("panels: element (0, ") && contains("(code - zero_point) * inner scale"));
  // Numbers of the panels' format that are none of the spec's: a zero point of five bits, scales of
  // five, one between two of fp8, infinity.
  CHECK_THAT(load_error<progressive>(2, 40, put("panels", 64 + 1, std::uint8_t{16})),
             contains("panels: byte 65 holds 16, which is part of no finite value of uint4"));
  CHECK_THAT(load_error<qp::recipe<qp::weight<qp::w4_zero_g128>>>(
                 2, 40, put("panels", 128 + 1, std::uint8_t{16})),
             contains("panels: byte 129 holds 16, which is part of no finite value of uint4"));
  CHECK_THAT(
      load_error<qp::recipe<qp::weight<qp::vsq4_v16>>>(2, 40, put("panels", 17, std::uint8_t{16})),
      contains("panels: byte 17 holds 16, which is part of no finite value of uint4"));
  for (const std::uint16_t half : {std::uint16_t{0x3c01}, std::uint16_t{0x7c00}}) {
    CHECK_THAT(load_error<nvfp4>(2, 40, put("panels", 34, half)),
               contains("panels: byte 34 holds ") && contains("no finite value of fp8_e4m3"));
  }
  // Both levels are finite, their product is not.
  CHECK_THAT(load_error<nvfp4>(2, 40, put("scales.scales.codes", 0, 3e38f)),
             contains("scales: the scale or minimum of row 0"));
  CHECK_THAT(load_error<nvfp4>(2, 40, put("scales.scales.codes", 0, nan)),
             contains("scales.scales.codes: element (0, 0)"));
}

TEST_CASE("layer_file: whatever byte is damaged, a load ends in an error or in a layer",
          "[io][layer_file]") {
  using layer_type = qp::linear<qp::recipe<qp::weight<qp::q4_k_like>>>;
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  const matrix bias = random_matrix(1, 9, 2);
  qp::save(path, qp::compress<qp::recipe<qp::weight<qp::q4_k_like>>>(random_matrix(9, 70, 1).view(),
                                                                     bias.values()));
  const std::vector<std::byte> whole = read_file(path);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::vector<std::byte> damaged = whole;
    damaged[at] ^= std::byte{0x55};
    write_file(path, damaged);
    try {
      const auto loaded = qp::load<layer_type>(path);
      CHECK(loaded.out_features() == 9);
    } catch (const qp::error&) {
    }
    damaged.resize(at);
    write_file(path, damaged);
    CHECK_THROWS_AS(qp::load<layer_type>(path), qp::file_error);
  }
}

TEST_CASE("layer_file: a save replaces the file that a layer is mapped from", "[io][layer_file]") {
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  const matrix x = random_matrix(2, 64, 5);
  const auto first = qp::compress<qp::w4a8_g32>(random_matrix(33, 64, 1).view());
  qp::save(path, first);
  const auto mapped = qp::load<qp::linear<qp::w4a8_g32>>(path);
  qp::save(path, mapped);  // onto itself
  qp::save(path, qp::compress<qp::w4a8_g32>(random_matrix(33, 64, 2).view()));
  CHECK(outputs(mapped, x) == outputs(first, x));
  CHECK_THROWS_AS(qp::save(folder / "absent/layer.safetensors", first), qp::file_error);
}

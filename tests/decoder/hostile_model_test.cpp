// SPDX-License-Identifier: Apache-2.0
// Model files cut at every byte and bent at seeded places: each must load or be refused, and what
// loads must lie inside its file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/decoder/load_model.hpp"
#include "support/catch.hpp"
#include "support/small_model.hpp"

namespace qp = qompose;
using qompose_tests::small_model;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

namespace {

/// Reads everything a model promises.
void read_all(const qp::model_weights& weights) {
  std::vector<const qp::weight_source*> matrices = {&weights.embedding, &weights.head};
  for (const qp::layer_weights& l : weights.layers) {
    for (const qp::weight_source* m :
         {&l.q_proj, &l.k_proj, &l.v_proj, &l.o_proj, &l.gate_proj, &l.up_proj, &l.down_proj}) {
      matrices.push_back(m);
    }
  }
  for (const qp::weight_source* m : matrices) {
    const auto all = m->file->bytes();
    REQUIRE(m->bytes.data() >= all.data());
    REQUIRE(m->bytes.data() + m->bytes.size() <= all.data() + all.size());
    REQUIRE(m->bytes.size() ==
            m->rows * (m->cols / m->encoding->block_size) * m->encoding->block_bytes);
    std::vector<float> values(m->rows * m->cols);
    m->read_rows(0, m->rows, values.data());
  }
}

/// True if a model loads, false if it is refused with an exception of the library's.
bool loads(const std::filesystem::path& path) {
  try {
    read_all(qp::load_model(path));
    return true;
  } catch (const qp::error&) {
    return false;
  }
}

/// Where the file under test is written, and what is opened then.
struct target {
  std::filesystem::path file;
  std::filesystem::path model;
};

/// Writes a file that may be there already. Some file systems wait for the disk when a rename
/// replaces a file, which thousands of times takes minutes.
void replace_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::filesystem::remove(path);
  write_file(path, bytes);
}

void check_cuts(const target& t, const std::vector<std::byte>& sound) {
  write_file(t.file, sound);
  REQUIRE(loads(t.model));
  std::size_t loaded = 0;
  for (std::size_t size = 0; size < sound.size(); ++size) {
    replace_file(t.file, std::span(sound).first(size));
    if (loads(t.model)) ++loaded;
  }
  CHECK(loaded == 0);
}

/// Bends `sound` in one to four places: a byte replaced, a bit flipped, a word set to a value
/// that arithmetic stumbles over, or a byte left out.
std::vector<std::byte> bent(const std::vector<std::byte>& sound, std::size_t reach,
                            qp::random_source& random) {
  std::vector<std::byte> bytes = sound;
  const std::uint64_t n = 1 + random.bits() % 4;
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::size_t at = random.bits() % std::min(reach, bytes.size() - 8);
    switch (random.bits() % 5) {
      case 0:
        bytes[at] = static_cast<std::byte>(random.bits());
        break;
      case 1:
        bytes[at] ^= static_cast<std::byte>(1u << (random.bits() % 8));
        break;
      case 2:
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 8, std::byte{0xff});
        break;
      case 3:
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 8, std::byte{0});
        break;
      default:
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at));
        break;
    }
  }
  return bytes;
}

/// @param reach  only the first bytes are bent: what lies behind them are plain numbers
void check_bends(const target& t, const std::vector<std::byte>& sound, std::size_t reach) {
  qp::random_source random(2024);
  for (int i = 0; i < 3000; ++i) {
    replace_file(t.file, bent(sound, reach, random));
    static_cast<void>(loads(t.model));  // anything but a crash or a foreign exception
  }
  SUCCEED("3000 files were read or refused");
}

small_model tiny(const std::string& architecture) {
  small_model model;
  model.architecture = architecture;
  model.dim = 4;
  model.hidden_dim = 4;
  model.n_kv_heads = 1;
  model.head_dim = 2;
  model.qkv_bias = architecture == "qwen2";
  model.qk_norm = architecture == "qwen3";
  return model;
}

}  // namespace

TEST_CASE("hostile models: a GGUF file is refused wherever it is cut and survives bending",
          "[decoder][load_model][hostile]") {
  const temporary_folder folder;
  const target t{folder / "model.gguf", folder / "model.gguf"};
  auto writer = qompose_tests::small_gguf(tiny(GENERATE("llama", "qwen2", "qwen3")));
  writer.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "c", "d", "e", "f"});
  writer.set("tokenizer.ggml.scores", std::vector<float>(6));
  std::vector<std::byte> bytes = writer.bytes();
  // The padding after the last tensor may be missing, so it is not part of what must be there.
  while (bytes.size() % 32 != 16) bytes.pop_back();
  check_cuts(t, bytes);
  check_bends(t, bytes, 2600);
}

TEST_CASE("hostile models: a safetensors file is refused wherever it is cut and survives bending",
          "[decoder][load_model][hostile]") {
  const temporary_folder folder;
  const target t{folder / "model.safetensors", folder.path()};
  const small_model model = tiny("llama");
  write_file(folder / "config.json", qompose_tests::small_config_json(model, "LlamaForCausalLM"));
  const std::vector<std::byte> bytes = qompose_tests::small_safetensors(model).bytes();
  check_cuts(t, bytes);
  check_bends(t, bytes, 1100);
}

TEST_CASE("hostile models: a config.json is refused wherever it is cut and survives bending",
          "[decoder][load_model][hostile]") {
  const temporary_folder folder;
  const target t{folder / "config.json", folder.path()};
  const small_model model = tiny("llama");
  qompose_tests::small_safetensors(model).write(folder / "model.safetensors");
  const std::string text = qompose_tests::small_config_json(
      model, "LlamaForCausalLM",
      R"(,"bos_token_id":1,"eos_token_id":[2,3],"rope_scaling":{"rope_type":"llama3","factor":8.0,)"
      R"("low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192})");
  const auto view = std::as_bytes(std::span(text));
  const std::vector<std::byte> bytes(view.begin(), view.end());
  check_cuts(t, bytes);
  check_bends(t, bytes, bytes.size());
}

TEST_CASE("hostile models: a shard index is refused wherever it is cut and survives bending",
          "[decoder][load_model][hostile]") {
  const temporary_folder folder;
  const target t{folder / "model.safetensors.index.json", folder.path()};
  const small_model model = tiny("llama");
  write_file(folder / "config.json", qompose_tests::small_config_json(model, "LlamaForCausalLM"));
  qompose_tests::safetensors_writer shards[2];
  std::string index = "{\"weight_map\":{";
  std::size_t i = 0;
  for (const qompose_tests::small_tensor& tensor : qompose_tests::small_tensors(model)) {
    shards[i % 2].add_tensor(tensor.hugging_face_name, tensor.shape, tensor.values);
    index += (i > 0 ? ",\"" : "\"") + tensor.hugging_face_name + "\":\"" + std::to_string(i % 2) +
             ".safetensors\"";
    ++i;
  }
  shards[0].write(folder / "0.safetensors");
  shards[1].write(folder / "1.safetensors");
  index += "}}";
  const auto view = std::as_bytes(std::span(index));
  const std::vector<std::byte> bytes(view.begin(), view.end());
  check_cuts(t, bytes);
  check_bends(t, bytes, bytes.size());
}

TEST_CASE("hostile models: a llama2.c file is refused wherever it is cut and survives bending",
          "[decoder][load_model][hostile]") {
  const temporary_folder folder;
  const target t{folder / "model.bin", folder / "model.bin"};
  const std::vector<std::byte> bytes = qompose_tests::small_llama2c(tiny("llama"));
  check_cuts(t, bytes);
  check_bends(t, bytes, 28);
}

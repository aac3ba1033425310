// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/llama2c.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/reference_data.hpp"
#include "support/small_model.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

TEST_CASE("llama2c: tensors lie where the header puts them", "[io][llama2c]") {
  const temporary_folder folder;
  qompose_tests::small_model model;
  model.n_layers = 2;
  model.tied = GENERATE(true, false);
  write_file(folder / "model.bin", qompose_tests::small_llama2c(model));

  const qp::llama2c_file file(folder / "model.bin");
  CHECK(file.header().dim == model.dim);
  CHECK(file.header().vocab_size == model.vocab_size);
  CHECK(file.header().tied_embedding == model.tied);
  CHECK(file.tensors().size() == (model.tied ? 20 : 21));
  const auto values_of = [&](const char* name) {
    const qp::file_tensor* tensor = file.find_tensor(name);
    REQUIRE(tensor != nullptr);
    std::vector<float> values(tensor->rows() * tensor->cols());
    tensor->decode_rows(0, tensor->rows(), values.data());
    return values;
  };
  const char* pairs[][2] = {
      {"tok_embeddings.weight", "token_embd.weight"},
      {"layers.1.attention.wk.weight", "blk.1.attn_k.weight"},
      {"layers.0.feed_forward.w1.weight", "blk.0.ffn_gate.weight"},
      {"layers.1.feed_forward.w2.weight", "blk.1.ffn_down.weight"},
      {"layers.0.feed_forward.w3.weight", "blk.0.ffn_up.weight"},
      {"norm.weight", "output_norm.weight"},
      {"output.weight", "output.weight"},
  };
  for (const qompose_tests::small_tensor& tensor : qompose_tests::small_tensors(model)) {
    for (const auto& pair : pairs) {
      if (tensor.gguf_name == pair[1]) CHECK(values_of(pair[0]) == tensor.values);
    }
  }
}

TEST_CASE("llama2c: a header that the file does not bear out is an error",
          "[io][llama2c][hostile]") {
  const temporary_folder folder;
  const std::vector<std::byte> sound = qompose_tests::small_llama2c({});
  struct bad_case {
    std::string expected;
    std::size_t field;
    std::int32_t value;
  };
  const bad_case cases[] = {
      {"is not a model file", 0, 0},
      {"is not a model file", 0, -8},
      {"is not a model file", 2, 0},
      {"is not a model file", 5, 0},
      {"is not a model file", 3, 3},
      {"is not a model file", 4, 5},
      {"its header asks for", 6, 18},
      {"its header asks for", 1, 0x7fff'ffff},
      {"its header asks for", 2, 0x7fff'ffff},
      {"its header asks for", 5, -6},
      {"its header asks for", 5, -0x7fff'ffff - 1},
      {"of version 12 (ak42)", 0, 0x616b3432},
  };
  for (const bad_case& c : cases) {
    CAPTURE(c.expected, c.field, c.value);
    std::vector<std::byte> bytes = sound;
    std::memcpy(bytes.data() + 4 * c.field, &c.value, 4);
    write_file(folder / "bad.bin", bytes);
    CHECK_THROWS_AS(qp::llama2c_file(folder / "bad.bin"), qp::file_error);
    CHECK_THROWS_WITH(qp::llama2c_file(folder / "bad.bin"), contains(c.expected));
  }
  // Every size at its largest: products that do not fit 64 bits.
  std::vector<std::byte> bytes = sound;
  const std::int32_t largest[] = {0x7fff'ffff, 0x7fff'ffff, 0x7fff'ffff, 1,
                                  1,           0x7fff'ffff, 0x7fff'ffff};
  std::memcpy(bytes.data(), largest, sizeof(largest));
  write_file(folder / "bad.bin", bytes);
  CHECK_THROWS_WITH(qp::llama2c_file(folder / "bad.bin"), contains("overflows"));
}

TEST_CASE("llama2c: the reference files are read, and a later version is told apart",
          "[io][llama2c]") {
  const std::filesystem::path folder = qompose_tests::reference_data("models/stories260K");
  if (folder.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data("models/stories260K"));
  const qp::llama2c_file file(folder / "stories260K.bin");
  CHECK(file.header().hidden_dim == 172);
  CHECK(file.tensors().size() == 47);
  CHECK_THROWS_WITH(qp::llama2c_file(folder / "stories260K_v1.bin"), contains("version 1 (ak42)"));
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/load_model.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/reference_data.hpp"
#include "support/small_model.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::gguf_writer;
using qompose_tests::small_model;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

namespace {

std::vector<float> values_of(const qp::weight_source& source) {
  std::vector<float> values(source.rows * source.cols);
  source.read_rows(0, source.rows, values.data());
  return values;
}

/// The values that a small model has under a GGUF name.
std::vector<float> written(const small_model& model, const std::string& gguf_name) {
  for (const qompose_tests::small_tensor& t : qompose_tests::small_tensors(model)) {
    if (t.gguf_name == gguf_name) return t.values;
  }
  return {};
}

/// Checks that everything is where it belongs.
void check_contents(const qp::model_weights& weights, const small_model& model) {
  const qp::decoder_config& c = weights.config;
  CHECK(c.dim == model.dim);
  CHECK(c.hidden_dim == model.hidden_dim);
  CHECK(c.n_layers == model.n_layers);
  CHECK(c.n_heads == model.n_heads);
  CHECK(c.n_kv_heads == model.n_kv_heads);
  CHECK(c.head_dim == model.head_dim);
  CHECK(c.vocab_size == model.vocab_size);
  CHECK(c.seq_len == model.seq_len);
  CHECK(c.tied_embedding == model.tied);
  CHECK(c.rms_norm_eps == 1e-5f);
  CHECK(values_of(weights.embedding) == written(model, "token_embd.weight"));
  CHECK(values_of(weights.head) ==
        written(model, model.tied ? "token_embd.weight" : "output.weight"));
  CHECK(weights.final_norm == written(model, "output_norm.weight"));
  REQUIRE(weights.layers.size() == model.n_layers);
  std::size_t parameters = 0;
  for (const qompose_tests::small_tensor& t : qompose_tests::small_tensors(model)) {
    parameters += t.values.size();
  }
  CHECK(weights.parameters() == parameters);
  CHECK(weights.source_precision == "F32");
  for (std::size_t i = 0; i < model.n_layers; ++i) {
    const std::string blk = "blk." + std::to_string(i) + ".";
    const qp::layer_weights& l = weights.layers[i];
    CHECK(l.attention_norm == written(model, blk + "attn_norm.weight"));
    CHECK(values_of(l.q_proj) == written(model, blk + "attn_q.weight"));
    CHECK(values_of(l.k_proj) == written(model, blk + "attn_k.weight"));
    CHECK(values_of(l.v_proj) == written(model, blk + "attn_v.weight"));
    CHECK(values_of(l.o_proj) == written(model, blk + "attn_output.weight"));
    CHECK(l.q_bias == written(model, blk + "attn_q.bias"));
    CHECK(l.k_bias == written(model, blk + "attn_k.bias"));
    CHECK(l.v_bias == written(model, blk + "attn_v.bias"));
    CHECK(l.o_bias.empty());
    CHECK(l.q_norm == written(model, blk + "attn_q_norm.weight"));
    CHECK(l.k_norm == written(model, blk + "attn_k_norm.weight"));
    CHECK(l.ffn_norm == written(model, blk + "ffn_norm.weight"));
    CHECK(values_of(l.gate_proj) == written(model, blk + "ffn_gate.weight"));
    CHECK(values_of(l.up_proj) == written(model, blk + "ffn_up.weight"));
    CHECK(values_of(l.down_proj) == written(model, blk + "ffn_down.weight"));
  }
}

small_model like(const std::string& architecture) {
  small_model model;
  model.architecture = architecture;
  model.n_layers = 2;
  model.qkv_bias = architecture == "qwen2";
  model.qk_norm = architecture == "qwen3";
  // Only in Qwen3 do the heads together differ from the width of the model.
  if (architecture == "qwen3") model.head_dim = 6;
  return model;
}

}  // namespace

TEST_CASE("load_model: the same weights arrive from all kinds of files", "[decoder][load_model]") {
  const temporary_folder folder;
  const std::string architecture = GENERATE("llama", "qwen2", "qwen3");
  small_model model = like(architecture);
  model.tied = GENERATE(true, false);
  CAPTURE(architecture, model.tied);

  qompose_tests::small_gguf(model).write(folder / "model.any");  // known by its content
  const qp::model_weights gguf = qp::load_model(folder / "model.any");
  check_contents(gguf, model);
  CHECK(gguf.config.architecture == architecture);
  CHECK((gguf.config.pairing == qp::rope_pairing::interleaved) == (architecture == "llama"));
  CHECK(gguf.config.qk_norm == (architecture == "qwen3"));

  const std::string name = architecture == "llama"   ? "LlamaForCausalLM"
                           : architecture == "qwen2" ? "Qwen2ForCausalLM"
                                                     : "Qwen3ForCausalLM";
  qompose_tests::write_small_hugging_face(model, folder.path(), name);
  for (const auto& path : {folder.path(), folder / "model.safetensors"}) {
    const qp::model_weights weights = qp::load_model(path);
    check_contents(weights, model);
    CHECK(weights.config.pairing == qp::rope_pairing::half);
  }
  if (architecture == "llama") {
    write_file(folder / "model.bin", qompose_tests::small_llama2c(model));
    const qp::model_weights weights = qp::load_model(folder / "model.bin");
    check_contents(weights, model);
    CHECK(weights.config.bos_id == 1);
    CHECK(weights.config.eos_ids == std::vector<qp::token_id>{2});
  }
}

TEST_CASE("load_model: config.json says how RoPE and the special tokens are",
          "[decoder][load_model]") {
  const temporary_folder folder;
  const auto config_with = [&](const std::string& more,
                               const std::string& architecture = "LlamaForCausalLM") {
    qompose_tests::write_small_hugging_face({}, folder.path(), architecture, more);
    return qp::load_model(folder.path()).config;
  };
  CHECK(config_with("").rope_theta == 10000.0f);
  CHECK_FALSE(config_with(R"(,"bos_token_id":null)").bos_id.has_value());
  CHECK(config_with(R"(,"bos_token_id":3,"eos_token_id":4)").bos_id == 3);
  CHECK(config_with(R"(,"eos_token_id":[4,5])").eos_ids == std::vector<qp::token_id>{4, 5});
  CHECK(config_with(R"(,"rope_theta":500000)").rope_theta == 500000.0f);
  CHECK(config_with(R"(,"rope_scaling":null)").scaling.method == qp::rope_scaling::kind::none);
  const auto linear = config_with(R"(,"rope_scaling":{"type":"linear","factor":2.5})").scaling;
  CHECK(linear.method == qp::rope_scaling::kind::linear);
  CHECK(linear.factor == 2.5f);
  const auto llama3 =
      config_with(R"(,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,)"
                  R"("high_freq_factor":4.0,"original_max_position_embeddings":8192})")
          .scaling;
  CHECK(llama3.method == qp::rope_scaling::kind::llama3);
  CHECK(llama3.factor == 8.0f);
  CHECK(llama3.high_freq_factor == 4.0f);
  CHECK(llama3.original_seq_len == 8192);
  CHECK(config_with(R"(,"rope_parameters":{"rope_type":"default","rope_theta":1e6})").rope_theta ==
        1e6f);
}

TEST_CASE("load_model: config.json says which layers see a window", "[decoder][load_model]") {
  const temporary_folder folder;
  using windows = std::vector<std::size_t>;
  const auto windows_of = [&](const std::string& architecture, const std::string& more) {
    small_model model = like(architecture == "MistralForCausalLM" ? "llama"
                             : architecture == "Qwen2ForCausalLM" ? "qwen2"
                                                                  : "qwen3");
    model.n_layers = 3;
    qompose_tests::write_small_hugging_face(model, folder.path(), architecture, more);
    const qp::decoder_config config = qp::load_model(folder.path()).config;
    CHECK(config.seq_len == 16);  // whatever local layers see
    return config.windows;
  };
  CHECK(windows_of("MistralForCausalLM", R"(,"sliding_window":5)") == windows{5, 5, 5});
  CHECK(windows_of("MistralForCausalLM", R"(,"sliding_window":null)").empty());
  CHECK(windows_of("MistralForCausalLM", "").empty());  // 4096, more than the context
  CHECK(windows_of("MistralForCausalLM", R"(,"sliding_window":16)").empty());
  CHECK(windows_of("MistralForCausalLM", R"(,"sliding_window":15)") == windows{15, 15, 15});

  const std::string used = R"(,"use_sliding_window":true,"sliding_window":5)";
  for (const char* qwen : {"Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    CAPTURE(qwen);
    CHECK(windows_of(qwen, R"(,"sliding_window":5)").empty());
    CHECK(windows_of(qwen, R"(,"sliding_window":5,"use_sliding_window":false)").empty());
    CHECK(windows_of(qwen, used + R"(,"max_window_layers":2)") == windows{0, 0, 5});
    CHECK(windows_of(qwen, used + R"(,"max_window_layers":0)") == windows{5, 5, 5});
    CHECK(windows_of(qwen, used).empty());  // from layer 28 on
    CHECK(windows_of(qwen, used + R"(,"max_window_layers":0,"layer_types":["sliding_attention",)"
                                  R"("full_attention","sliding_attention"])") == windows{5, 0, 5});
    CHECK_THROWS_WITH(windows_of(qwen, used + R"(,"layer_types":["full_attention"])"),
                      contains("layer_types: expected a list of 3 names"));
    CHECK_THROWS_WITH(
        windows_of(qwen, used + R"(,"layer_types":["full_attention","full_attention","linear"])"),
        contains("layer_types: \"linear\", expected sliding_attention or full_attention"));
  }
  qompose_tests::write_small_hugging_face({}, folder.path(), "LlamaForCausalLM",
                                          R"(,"sliding_window":5)");
  CHECK(qp::load_model(folder.path()).config.windows.empty());
}

TEST_CASE("load_model: config.json with something the decoder does not compute is an error",
          "[decoder][load_model]") {
  const temporary_folder folder;
  const auto check_refused = [&](const std::string& more, const std::string& expected,
                                 const std::string& architecture = "LlamaForCausalLM") {
    CAPTURE(more, architecture);
    qompose_tests::write_small_hugging_face({}, folder.path(), architecture, more);
    CHECK_THROWS_AS(qp::load_model(folder.path()), qp::file_error);
    CHECK_THROWS_WITH(qp::load_model(folder.path()), contains(expected));
  };
  check_refused("", "GemmaForCausalLM, expected LlamaForCausalLM", "GemmaForCausalLM");
  check_refused("", "self_attn.q_proj.bias: the file has no such tensor", "Qwen2ForCausalLM");
  check_refused("", "self_attn.q_norm.weight: the file has no such tensor", "Qwen3ForCausalLM");
  check_refused(R"(,"attention_bias":true)", "model.layers.0.self_attn.q_proj.bias");
  check_refused(R"(,"mlp_bias":true)", "model.layers.0.mlp.gate_proj.bias");
  check_refused(R"(,"attention_bias":"no")", "attention_bias: expected true or false");
  check_refused(R"(,"quantization_config":{"quant_method":"gptq"})", "quantization_config");
  check_refused(R"(,"partial_rotary_factor":0.5)", "partial_rotary_factor");
  check_refused(R"(,"rope_scaling":{"type":"yarn","factor":2})", "rope_scaling: type yarn");
  check_refused(R"(,"rope_scaling":{"type":"linear"})", "rope_scaling: factor: is missing");
  check_refused(R"(,"rope_scaling":{"type":"linear","factor":-2})", "rope_scaling: factor: -2");
  check_refused(R"(,"rope_scaling":{"type":"linear","factor":1e300})", "rope_scaling: factor: 1");
  check_refused(R"(,"rope_scaling":[])", "rope_scaling: expected a JSON object");
  check_refused(R"(,"rope_scaling":{"type":"llama3","factor":8,"low_freq_factor":4,)"
                R"("high_freq_factor":4,"original_max_position_embeddings":8192})",
                "high_freq_factor must be greater");
  check_refused(R"(,"rope_theta":0)", "rope_theta: 0");
  check_refused(R"(,"eos_token_id":6)", "the vocabulary has 6 tokens");
  check_refused(R"(,"eos_token_id":-1)", "eos_token_id: expected a token id");
  check_refused(R"(,"bos_token_id":99999999999)", "bos_token_id: expected a token id");
  check_refused(R"(,"hidden_size":8)", "key hidden_size appears twice");

  std::string json = qompose_tests::small_config_json({}, "LlamaForCausalLM");
  json.replace(json.find("\"silu\""), 6, "\"gelu\"");
  write_file(folder / "config.json", json);
  CHECK_THROWS_WITH(qp::load_model(folder.path()), contains("hidden_act: gelu, expected silu"));
  for (const char* text : {"[]", "{}", "{\"architectures\":[]}", "{\"architectures\":7}", "nul"}) {
    write_file(folder / "config.json", text);
    CHECK_THROWS_AS(qp::load_model(folder.path()), qp::file_error);
  }
  std::filesystem::remove(folder / "config.json");
  CHECK_THROWS_WITH(qp::load_model(folder.path()), contains("config.json: No such file"));
}

TEST_CASE("load_model: absurd sizes are errors before anything is allocated",
          "[decoder][load_model][hostile]") {
  const temporary_folder folder;
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  const std::vector<std::function<void(small_model&, std::size_t)>> members = {
      [](small_model& m, std::size_t v) { m.dim = v; },
      [](small_model& m, std::size_t v) { m.hidden_dim = v; },
      [](small_model& m, std::size_t v) { m.n_layers = v; },
      [](small_model& m, std::size_t v) { m.n_heads = v; },
      [](small_model& m, std::size_t v) { m.n_kv_heads = v; },
      [](small_model& m, std::size_t v) { m.head_dim = v; },
      [](small_model& m, std::size_t v) { m.vocab_size = v; },
      [](small_model& m, std::size_t v) { m.seq_len = v; },
  };
  qompose_tests::small_safetensors({}).write(folder / "model.safetensors");
  for (std::size_t i = 0; i < members.size(); ++i) {
    for (const std::size_t value :
         {std::size_t{0}, std::size_t{3}, std::size_t{0x7fff'fffe}, std::size_t{0xffff'ffff},
          std::size_t{1} << 60, huge / 2, huge}) {
      const bool is_seq_len = i + 1 == members.size();
      if (is_seq_len && value > 0 && value < 0x7fff'ffff) continue;  // any context will do
      CAPTURE(i, value);
      small_model model;
      members[i](model, value);
      write_file(folder / "config.json",
                 qompose_tests::small_config_json(model, "LlamaForCausalLM"));
      CHECK_THROWS_AS(qp::load_model(folder.path()), qp::error);
      if (i == 6) continue;  // GGUF files need not state their vocabulary
      gguf_writer writer = qompose_tests::small_gguf_metadata(model);
      for (const qompose_tests::small_tensor& t : qompose_tests::small_tensors({})) {
        writer.add_tensor(t.gguf_name, t.shape, t.values);
      }
      if (value > 0xffff'ffff && is_seq_len) continue;  // stored with 32 bits
      writer.write(folder / "model.gguf");
      CHECK_THROWS_AS(qp::load_model(folder / "model.gguf"), qp::error);
    }
  }
}

TEST_CASE("load_model: GGUF metadata decides, and what the decoder does not compute is an error",
          "[decoder][load_model]") {
  const temporary_folder folder;
  const auto load_with = [&](const std::function<void(gguf_writer&)>& edit) {
    gguf_writer writer = qompose_tests::small_gguf({});
    edit(writer);
    writer.write(folder / "model.gguf");
    return qp::load_model(folder / "model.gguf");
  };
  const auto check_refused = [&](const std::string& expected,
                                 const std::function<void(gguf_writer&)>& edit) {
    CHECK_THROWS_AS(load_with(edit), qp::file_error);
    CHECK_THROWS_WITH(load_with(edit), contains(expected));
  };
  const auto config = load_with([](gguf_writer& w) {
                        w.set("llama.vocab_size", 6u);
                        w.set("llama.attention.sliding_window", 7u);
                        w.set("llama.rope.scaling.type", "linear");
                        w.set("llama.rope.scaling.factor", 4.0f);
                        w.set("tokenizer.ggml.bos_token_id", 1u);
                        w.set("tokenizer.ggml.eos_token_id", 2u);
                        w.set("tokenizer.ggml.eot_token_id", 3u);
                        w.add_tensor("rope_freqs.weight", {2}, std::vector<float>{1.0f, 8.0f});
                      }).config;
  CHECK(config.seq_len == 16);
  CHECK(config.windows == std::vector<std::size_t>{7});
  CHECK(config.scaling.method == qp::rope_scaling::kind::linear);
  CHECK(config.scaling.factor == 4.0f);
  CHECK(config.scaling.frequency_factors == std::vector<float>{1.0f, 8.0f});
  CHECK(config.bos_id == 1);
  CHECK(config.eos_ids == std::vector<qp::token_id>{2, 3});

  check_refused("expert_count", [](gguf_writer& w) { w.set("llama.expert_count", 8u); });
  check_refused("split.count", [](gguf_writer& w) { w.set("split.count", std::uint16_t{2}); });
  check_refused("attention.causal", [](gguf_writer& w) { w.set("llama.attention.causal", false); });
  check_refused("attention.sliding_window_pattern: is not read",
                [](gguf_writer& w) { w.set("llama.attention.sliding_window_pattern", 6u); });
  check_refused("rope.scaling.type: yarn",
                [](gguf_writer& w) { w.set("llama.rope.scaling.type", "yarn"); });
  check_refused("rope.scaling.factor: is missing",
                [](gguf_writer& w) { w.set("llama.rope.scaling.type", "linear"); });
  check_refused("eos_token_id",
                [](gguf_writer& w) { w.set("tokenizer.ggml.eos_token_id", 0xffff'ffffu); });
  check_refused("the vocabulary has 6 tokens",
                [](gguf_writer& w) { w.set("tokenizer.ggml.eos_token_id", 6u); });
  check_refused("tokenizer.ggml.tokens: 7 tokens", [](gguf_writer& w) {
    w.set("tokenizer.ggml.tokens", std::vector<std::string>(7));
  });
  check_refused("blk.0.attn_sub_norm.weight: has no place", [](gguf_writer& w) {
    w.add_tensor("blk.0.attn_sub_norm.weight", {1}, std::vector<float>{1.0f});
  });
  check_refused("a RoPE frequency factor is not positive", [](gguf_writer& w) {
    w.add_tensor("rope_freqs.weight", {2}, std::vector<float>{1.0f, 0.0f});
  });

  small_model mamba;
  mamba.architecture = "mamba";
  qompose_tests::small_gguf(mamba).write(folder / "model.gguf");
  CHECK_THROWS_WITH(qp::load_model(folder / "model.gguf"),
                    contains("mamba, expected llama, qwen2 or qwen3"));
}

TEST_CASE("load_model: a missing tensor and a wrong shape name themselves",
          "[decoder][load_model]") {
  const temporary_folder folder;
  small_model model;
  model.n_layers = 4;
  const std::vector<qompose_tests::small_tensor> tensors = qompose_tests::small_tensors(model);
  for (const qompose_tests::small_tensor& left_out : tensors) {
    gguf_writer without = qompose_tests::small_gguf_metadata(model);
    gguf_writer transposed = qompose_tests::small_gguf_metadata(model);
    for (const qompose_tests::small_tensor& t : tensors) {
      const bool here = t.gguf_name == left_out.gguf_name;
      if (!here) without.add_tensor(t.gguf_name, t.shape, t.values);
      auto shape = t.shape;
      if (here) shape.insert(shape.begin(), 1);
      transposed.add_tensor(t.gguf_name, shape, t.values);
    }
    without.write(folder / "without.gguf");
    CHECK_THROWS_AS(qp::load_model(folder / "without.gguf"), qp::file_error);
    CHECK_THROWS_WITH(qp::load_model(folder / "without.gguf"),
                      contains(left_out.gguf_name + ": the file has no such tensor"));
    transposed.write(folder / "transposed.gguf");
    CHECK_THROWS_AS(qp::load_model(folder / "transposed.gguf"), qp::shape_error);
    CHECK_THROWS_WITH(qp::load_model(folder / "transposed.gguf"),
                      contains(left_out.gguf_name + ": shape [1, "));
  }
  model.hidden_dim = 13;
  gguf_writer writer = qompose_tests::small_gguf_metadata(model);
  for (const qompose_tests::small_tensor& t : tensors) {
    writer.add_tensor(t.gguf_name, t.shape, t.values);
  }
  writer.write(folder / "model.gguf");
  CHECK_THROWS_WITH(qp::load_model(folder / "model.gguf"),
                    contains("blk.0.ffn_gate.weight: shape [12, 8], expected [13, 8]"));
}

TEST_CASE("load_model: a tied checkpoint may store either end, or both", "[decoder][load_model]") {
  const temporary_folder folder;
  small_model model;
  model.tied = false;
  const auto tensors = qompose_tests::small_tensors(model);
  model.tied = true;
  write_file(folder / "config.json", qompose_tests::small_config_json(model, "LlamaForCausalLM"));
  const std::string stored = GENERATE("model.embed_tokens.weight", "lm_head.weight", "both");
  qompose_tests::safetensors_writer writer;
  for (const qompose_tests::small_tensor& t : tensors) {
    const bool is_end = t.shape[0] == model.vocab_size;
    if (is_end && stored != "both" && t.hugging_face_name != stored) continue;
    writer.add_tensor(t.hugging_face_name, t.shape, t.values);
  }
  writer.write(folder / "model.safetensors");
  const qp::model_weights weights = qp::load_model(folder.path());
  CHECK(weights.config.tied_embedding);
  CHECK(weights.head.name == weights.embedding.name);
  CHECK(weights.embedding.name == (stored == "both" ? "model.embed_tokens.weight" : stored));
}

TEST_CASE("load_model: the scale that lies beside a matrix multiplies it",
          "[decoder][load_model]") {
  const small_model model;
  const temporary_folder folder;
  gguf_writer writer = qompose_tests::small_gguf(model);
  writer.add_tensor("blk.0.ffn_up.scale", {1}, std::vector<float>{0.5f});
  writer.write(folder / "model.gguf");
  const qp::model_weights weights = qp::load_model(folder / "model.gguf");
  std::vector<float> expected = written(model, "blk.0.ffn_up.weight");
  for (float& value : expected) value *= 0.5f;
  CHECK(values_of(weights.layers[0].up_proj) == expected);
  CHECK(values_of(weights.layers[0].gate_proj) == written(model, "blk.0.ffn_gate.weight"));

  gguf_writer wrong = qompose_tests::small_gguf(model);
  wrong.add_tensor("blk.0.ffn_up.scale", {2}, std::vector<float>{0.5f, 0.5f});
  wrong.write(folder / "wrong.gguf");
  CHECK_THROWS_WITH(qp::load_model(folder / "wrong.gguf"),
                    contains("blk.0.ffn_up.scale: shape [2], expected [1]"));
}

TEST_CASE("weight_source: rows and columns are scaled when they are read", "[decoder][weights]") {
  qp::weight_source source("w", 2, 3, {1, 2, 3, 4, 5, 6});
  qp::weight_source copy = source;
  source.scale_rows(std::vector<float>{2, 3});
  source.scale_columns(std::vector<float>{1, 10, 100});
  CHECK(values_of(source) == std::vector<float>{2, 40, 600, 12, 150, 1800});
  source.scale_rows(std::vector<float>{0.5f, 1});
  CHECK(values_of(source) == std::vector<float>{1, 20, 300, 12, 150, 1800});
  std::vector<float> row(3);
  source.read_rows(1, 1, row.data());
  CHECK(row == std::vector<float>{12, 150, 1800});
  CHECK(values_of(copy) == std::vector<float>{1, 2, 3, 4, 5, 6});
  source.release();  // nothing to drop
  CHECK(source.encoding_name() == "F32");

  CHECK_THROWS_AS(source.scale_rows(std::vector<float>{1, 2, 3}), qp::shape_error);
  CHECK_THROWS_AS(source.scale_columns(std::vector<float>{1, 2}), qp::shape_error);
  CHECK_THROWS_AS(source.read_rows(2, 1, row.data()), qp::argument_error);
  CHECK_THROWS_AS(source.read_rows(1, 2, row.data()), qp::argument_error);
  CHECK_THROWS_AS(qp::weight_source("w", 2, 3, {1, 2}), qp::shape_error);
}

TEST_CASE("load_model: the reference models are read", "[decoder][load_model]") {
  struct expected_model {
    const char* path;
    std::size_t parameters;
    qp::rope_pairing pairing;
  };
  const expected_model models[] = {
      {"models/stories260K/stories260K.bin", 260'032, qp::rope_pairing::interleaved},
      {"models/babyllama-970K/model_tok105.bin", 936'448, qp::rope_pairing::interleaved},
      {"models/TinyStories-656K", 656'000, qp::rope_pairing::half},
  };
  for (const expected_model& expected : models) {
    const std::filesystem::path path = qompose_tests::reference_data(expected.path);
    if (path.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data(expected.path));
    CAPTURE(expected.path);
    const qp::model_weights weights = qp::load_model(path);
    CHECK(weights.parameters() == expected.parameters);
    CHECK(weights.config.tied_embedding);
    CHECK(weights.config.pairing == expected.pairing);
    CHECK(weights.source_precision == "F32");
    const std::vector<float> before = values_of(weights.embedding);
    weights.embedding.release();
    CHECK(values_of(weights.embedding) == before);
  }
  const auto later = qompose_tests::reference_data("models/relu-sparse-2M/model_qint80.bin");
  if (later.empty()) QOMPOSE_SKIP(qompose_tests::missing_reference_data("models/relu-sparse-2M"));
  CHECK_THROWS_WITH(qp::load_model(later), contains("version 2 (ak42)"));
}

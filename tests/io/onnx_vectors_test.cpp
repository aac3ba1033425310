// SPDX-License-Identifier: Apache-2.0
// In this folder because the cases are JSON, which the tests of nn/ do without.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qompose/nn/attention.hpp"
#include "qompose/nn/elementwise.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/onnx_case.hpp"
#include "support/reference_data.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

constexpr float never = -std::numeric_limits<float>::infinity();

/// Operators of which no case is run.
const std::map<std::string, std::string_view> skipped_operators{
    {"LayerNormalization", "the library has rms_norm alone"},
    {"LogSoftmax", "the library takes no logarithm of attention weights"},
    {"LinearAttention", "the library has softmax attention alone"},
    {"TensorScatter", "a cache grows at its end; none is written in the middle"},
};

/// Cases of other operators that are not run.
const std::map<std::string, std::string_view> skipped_cases{
    {"test_flexattention_prob_mod", "weights are changed after the softmax, by a graph"},
    {"test_flexattention_relative_positional", "the graph that changes scores is not in the file"},
    {"test_flexattention_score_mod", "the graph that changes scores is not in the file"},
    {"test_flexattention_soft_cap", "the graph that changes scores is not in the file"},
};

/// Outputs that are not compared, though the others of their cases are.
const std::map<std::string, std::string_view> skipped_outputs{
    {"qk_matmul_output", "attention has no buffer of the size of queries x tokens"},
};

/// The largest error in units of what is allowed: 1e-5 of the value, 1e-3 where the reference
/// rounds to half precision, and what ONNX itself allows near zero.
double worst_error(const onnx_tensor& wanted, const std::vector<float>& got) {
  REQUIRE(got.size() == wanted.values.size());
  const double relative = wanted.dtype == "FLOAT16" ? 1e-3 : 1e-5;
  double worst = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto value = static_cast<double>(wanted.values[i]);
    const double error = std::abs(static_cast<double>(got[i]) - value);
    const double ratio = error / (relative * std::abs(value) + 1e-7);
    worst = std::isnan(ratio) ? std::numeric_limits<double>::infinity() : std::max(worst, ratio);
  }
  return worst;
}

/// Where an element of a tensor is: [batch, heads, tokens, head_dim], or [batch, tokens, heads *
/// head_dim].
struct head_layout {
  std::size_t batch, heads, tokens, dim;
  bool heads_outside;

  head_layout(const onnx_tensor& x, double n_heads)
      : batch(x.dims.at(0)),
        heads(x.dims.size() == 4 ? x.dims[1] : static_cast<std::size_t>(n_heads)),
        tokens(x.dims.size() == 4 ? x.dims[2] : x.dims.at(1)),
        dim(x.dims.size() == 4 ? x.dims[3] : x.dims.at(2) / heads),
        heads_outside(x.dims.size() == 4) {}

  /// The first element of a head of a token.
  [[nodiscard]] std::size_t at(std::size_t b, std::size_t h, std::size_t t) const {
    return (heads_outside ? (b * heads + h) * tokens + t : (b * tokens + t) * heads + h) * dim;
  }
};

/// A sequence of a batch: [tokens, heads * width], heads padded with zeros.
matrix sequence_of(const onnx_tensor& x, const head_layout& layout, std::size_t b,
                   std::size_t width) {
  matrix out(layout.tokens, layout.heads * width);
  for (std::size_t t = 0; t < layout.tokens; ++t) {
    for (std::size_t h = 0; h < layout.heads; ++h) {
      std::copy_n(x.values.data() + layout.at(b, h, t), layout.dim, &out(t, h * width));
    }
  }
  return out;
}

/// What a mask adds to the score of a query and a token.
float mask_at(const onnx_tensor& mask, std::size_t b, std::size_t h, std::size_t i, std::size_t t) {
  // Leading dims may be missing or 1; tokens past the mask are hidden.
  const std::size_t wanted[] = {b, h, i, t};
  const std::size_t n = mask.dims.size();
  if (t >= mask.dims[n - 1]) return never;
  std::size_t index = 0;
  for (std::size_t d = 0; d < n; ++d) {
    index = index * mask.dims[d] + (mask.dims[d] == 1 ? 0 : wanted[4 - n + d]);
  }
  const float value = mask.values[index];
  if (mask.dtype == "BOOL") return value != 0.0f ? 0.0f : never;
  return value;
}

/// Whether heads have masks of their own.
bool has_head_masks(const onnx_tensor* mask) {
  return mask != nullptr && mask->dims.size() == 4 && mask->dims[1] > 1;
}

/// What one call of `attention` is made for: some heads of one sequence.
struct attention_run {
  std::size_t batch = 0;
  std::size_t head = 0;  ///< the first query head
  std::size_t past = 0;  ///< tokens before the first query; may be negative, wrapped around
  bool is_causal = false;
  const onnx_tensor* mask = nullptr;
  qp::attention_options options;

  /// Queries q over all keys, as many at a time as there are tokens.
  matrix operator()(const matrix& q, std::size_t n_kv_heads, const matrix& k,
                    const matrix& v) const {
    qp::kv_cache<> cache(n_kv_heads, k.cols() / n_kv_heads, k.rows());
    cache.append(k.view(), v.view());
    matrix y(q.rows(), q.cols(), 7.0f);
    for (std::size_t first = 0; first < q.rows(); first += k.rows()) {
      const std::size_t n = std::min(k.rows(), q.rows() - first);
      qp::attention_options use = options;
      // The library's newest query stands at the newest token.
      use.is_causal = is_causal && past + first + n == k.rows();
      matrix bias(n, k.rows());
      for (std::size_t i = 0; i < n; ++i) {
        const auto position = static_cast<std::ptrdiff_t>(past + first + i);
        for (std::size_t t = 0; t < k.rows(); ++t) {
          if (mask != nullptr) bias(i, t) = mask_at(*mask, batch, head, first + i, t);
          if (is_causal && !use.is_causal && static_cast<std::ptrdiff_t>(t) > position) {
            bias(i, t) = never;
          }
        }
      }
      if (mask != nullptr || (is_causal && !use.is_causal)) use.bias = bias.view();
      qp::attention(q.view().rows(first, n), cache, y.view().rows(first, n), qp::serial{}, use);
    }
    return y;
  }
};

/// Y of Attention and FlexAttention; checks the other outputs on the way.
std::vector<float> run_attention(const onnx_case& test) {
  const onnx_tensor& q = test.inputs.at("Q");
  const onnx_tensor& k = test.inputs.at("K");
  const onnx_tensor& v = test.inputs.at("V");
  const onnx_tensor* past_k = test.input("past_key");
  const onnx_tensor* past_v = test.input("past_value");
  const onnx_tensor* mask = test.input("attn_mask");
  const onnx_tensor* lengths = test.input("nonpad_kv_seqlen");
  const double n_kv_heads = test.attribute("kv_num_heads", 0.0);
  const head_layout q_at(q, test.attribute("q_num_heads", 0.0));
  const head_layout k_at(k, n_kv_heads);
  const head_layout v_at(v, n_kv_heads);
  const std::size_t width = std::max(k_at.dim, v_at.dim);
  const std::size_t group = q_at.heads / k_at.heads;

  onnx_tensor y = test.outputs.at("Y");
  std::fill(y.values.begin(), y.values.end(), 7.0f);
  const head_layout y_at(y, test.attribute("q_num_heads", 0.0));
  for (std::size_t b = 0; b < q_at.batch; ++b) {
    attention_run run;
    run.batch = b;
    run.mask = mask;
    run.is_causal = test.attribute("is_causal", 0.0) != 0.0;
    run.options.soft_cap = static_cast<float>(test.attribute("softcap", 0.0));
    run.options.scale =
        static_cast<float>(test.attribute("scale", 1.0 / std::sqrt(static_cast<double>(k_at.dim))));
    matrix keys = sequence_of(k, k_at, b, width);
    matrix values = sequence_of(v, v_at, b, width);
    if (past_k != nullptr) {
      const head_layout past_k_at(*past_k, 0.0);
      const head_layout past_v_at(*past_v, 0.0);
      run.past = past_k_at.tokens;
      const auto after = [](const matrix& first, const matrix& more) {
        std::vector<float> both = first.values();
        both.insert(both.end(), more.values().begin(), more.values().end());
        return matrix(first.rows() + more.rows(), first.cols(), both);
      };
      keys = after(sequence_of(*past_k, past_k_at, b, width), keys);
      values = after(sequence_of(*past_v, past_v_at, b, width), values);
      const onnx_tensor& present_k = test.outputs.at("present_key");
      const onnx_tensor& present_v = test.outputs.at("present_value");
      CHECK(keys.values() ==
            sequence_of(present_k, head_layout(present_k, 0.0), b, width).values());
      CHECK(values.values() ==
            sequence_of(present_v, head_layout(present_v, 0.0), b, width).values());
    }
    if (lengths != nullptr) {
      // Of keys and values only the first are tokens; queries are the newest of them.
      const auto n = static_cast<std::size_t>(lengths->values[b]);
      keys = matrix(n, keys.cols(),
                    {keys.values().begin(),
                     keys.values().begin() + static_cast<std::ptrdiff_t>(n * keys.cols())});
      values = matrix(n, values.cols(),
                      {values.values().begin(),
                       values.values().begin() + static_cast<std::ptrdiff_t>(n * values.cols())});
      run.past = n - q_at.tokens;
    }
    const matrix queries = sequence_of(q, q_at, b, width);
    const auto store = [&](const matrix& from, std::size_t first_head) {
      for (std::size_t t = 0; t < from.rows(); ++t) {
        for (std::size_t h = 0; h < from.cols() / width; ++h) {
          std::copy_n(&from.values()[t * from.cols() + h * width], y_at.dim,
                      y.values.data() + y_at.at(b, first_head + h, t));
        }
      }
    };
    if (!has_head_masks(mask)) {
      store(run(queries, k_at.heads, keys, values), 0);
      continue;
    }
    for (std::size_t h = 0; h < q_at.heads; ++h) {
      const auto head_of = [&](const matrix& from, std::size_t head) {
        matrix out(from.rows(), width);
        for (std::size_t t = 0; t < from.rows(); ++t) {
          std::copy_n(&from.values()[t * from.cols() + head * width], width, &out(t, 0));
        }
        return out;
      };
      run.head = h;
      store(run(head_of(queries, h), 1, head_of(keys, h / group), head_of(values, h / group)), h);
    }
  }
  return y.values;
}

std::vector<float> run_flex_attention(const onnx_case& test) {
  if (test.graphs.empty()) return run_attention(test);
  // The one graph that its case's name tells: scores of later tokens are hidden.
  REQUIRE(test.name == "test_flexattention_causal_mask");
  onnx_case causal = test;
  causal.attributes["is_causal"] = 1.0;
  return run_attention(causal);
}

std::vector<float> run_rotary(const onnx_case& test) {
  const onnx_tensor& cosines = test.inputs.at("cos_cache");
  const onnx_tensor& sines = test.inputs.at("sin_cache");
  const onnx_tensor* positions = test.input("position_ids");
  onnx_tensor x = test.inputs.at("input");
  const head_layout at(x, test.attribute("num_heads", 0.0));
  const std::size_t half = cosines.dims.back();
  const double dim = test.attribute("rotary_embedding_dim", 0.0);
  CHECK(2 * half == (dim > 0.0 ? static_cast<std::size_t>(dim) : at.dim));
  // The tables are random, so they go to the kernel that apply_rope runs.
  const auto kernel = qp::detail::with_best_target<qp::isa_tag>([&]<class Target>() {
    return test.attribute("interleaved", 0.0) != 0.0 ? &Target::elementwise::RopeInterleaved
                                                     : &Target::elementwise::RopeHalf;
  });
  for (std::size_t b = 0; b < at.batch; ++b) {
    for (std::size_t t = 0; t < at.tokens; ++t) {
      const std::size_t token = b * at.tokens + t;
      const std::size_t row =
          positions == nullptr ? token : static_cast<std::size_t>(positions->values[token]);
      for (std::size_t h = 0; h < at.heads; ++h) {
        kernel(cosines.values.data() + row * half, sines.values.data() + row * half,
               x.values.data() + at.at(b, h, t), 2 * half);
      }
    }
  }
  return x.values;
}

/// The softmax of attention: scores are the elements of keys, values the rows of an identity.
std::vector<float> run_softmax(const onnx_case& test) {
  const onnx_tensor& x = test.inputs.at("x");
  const std::size_t axis = x.axis(test.attribute("axis", -1.0));
  const std::size_t n = x.dims[axis];
  const std::size_t inner = x.count(axis + 1, x.dims.size());
  std::vector<float> y(x.values.size());
  matrix identity(n, n);
  for (std::size_t i = 0; i < n; ++i) identity(i, i) = 1.0f;
  for (std::size_t outside = 0; outside < x.count(0, axis); ++outside) {
    for (std::size_t inside = 0; inside < inner; ++inside) {
      const auto at = [&](std::size_t i) { return (outside * n + i) * inner + inside; };
      matrix k(n, n);
      for (std::size_t i = 0; i < n; ++i) k(i, 0) = x.values[at(i)];
      qp::kv_cache<> cache(1, n, n);
      cache.append(k.view(), identity.view());
      matrix out(1, n);
      qp::attention(identity.view().rows(0, 1), cache, out.view(), qp::serial{}, {.scale = 1.0f});
      for (std::size_t i = 0; i < n; ++i) y[at(i)] = out(0, i);
    }
  }
  return y;
}

std::vector<float> run_rms_norm(const onnx_case& test) {
  const onnx_tensor& x = test.inputs.at("X");
  const onnx_tensor& gain = test.inputs.at("W");
  const std::size_t axis = x.axis(test.attribute("axis", -1.0));
  const std::size_t rows = x.count(0, axis);
  const std::size_t cols = x.count(axis, x.dims.size());
  std::vector<float> y(x.values.size());
  qp::rms_norm({x.values.data(), rows, cols}, std::span<const float>(gain.values),
               static_cast<float>(test.attribute("epsilon", 1e-5)), {y.data(), rows, cols});
  return y;
}

/// What runs an operator, and the output that it makes.
struct runner {
  std::string output;
  std::vector<float> (*run)(const onnx_case&);
};
const std::map<std::string, runner> runners{
    {"Attention", {"Y", run_attention}},         {"FlexAttention", {"Y", run_flex_attention}},
    {"RotaryEmbedding", {"output", run_rotary}}, {"Softmax", {"y", run_softmax}},
    {"RMSNormalization", {"Y", run_rms_norm}},
};

}  // namespace

TEST_CASE("onnx: attention, rotary embedding, softmax and RMS norm give what ONNX wants",
          "[io][onnx]") {
  const std::filesystem::path folder = reference_data("vectors/onnx");
  if (folder.empty()) QOMPOSE_SKIP(missing_reference_data("vectors/onnx"));
  std::set<std::string> skipped;
  std::map<std::string, std::size_t> run;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const onnx_case test = read_onnx_case(entry.path());
    INFO(test.name);
    if (skipped_operators.count(test.op) + skipped_cases.count(test.name) > 0) {
      skipped.insert(skipped_operators.count(test.op) > 0 ? test.op : test.name);
      continue;
    }
    const auto found = runners.find(test.op);
    if (found == runners.end()) {
      FAIL_CHECK("neither run nor skipped with a reason");
      continue;
    }
    CHECK(worst_error(test.outputs.at(found->second.output), found->second.run(test)) <= 1.0);
    ++run[test.op];
    const std::set<std::string> compared{found->second.output, "present_key", "present_value"};
    for (const auto& [name, tensor] : test.outputs) {
      INFO(name);
      if (skipped_outputs.count(name) > 0) {
        skipped.insert(name);
      } else {
        CHECK(compared.count(name) == 1);
      }
    }
  }
  // What is listed as skipped is there.
  CHECK(skipped.size() == skipped_operators.size() + skipped_cases.size() + skipped_outputs.size());
  for (const auto& [op, how] : runners) {
    INFO(op);
    CHECK(run[op] > 0);
  }
}

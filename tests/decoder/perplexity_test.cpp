// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/perplexity.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "decoder/bigram_model.hpp"
#include "qompose/core/random.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"

namespace qp = qompose;
using qompose_tests::bigram_model;
using qompose_tests::contains;
using ids = std::vector<qp::token_id>;

namespace {

constexpr std::size_t vocab_size = 7;

std::vector<std::vector<float>> random_table() {
  qp::random_source random(11);
  std::vector<std::vector<float>> table(vocab_size, std::vector<float>(vocab_size));
  for (auto& row : table) {
    for (float& logit : row) logit = static_cast<float>(3.0 * random.normal());
  }
  return table;
}

ids random_tokens(std::size_t n) {
  qp::random_source random(12);
  ids tokens(n);
  for (qp::token_id& token : tokens) token = static_cast<qp::token_id>(random.bits() % vocab_size);
  return tokens;
}

/// -log p(next | token), the long way.
double loss(qp::token_id token, qp::token_id next) {
  const auto table = random_table();
  const auto& row = table[static_cast<std::size_t>(token)];
  double sum = 0.0;
  for (const float logit : row) sum += std::exp(static_cast<double>(logit));
  return -std::log(std::exp(static_cast<double>(row[static_cast<std::size_t>(next)])) / sum);
}

// Sums of a few double terms of order one.
constexpr double rounding = 1e-13;

}  // namespace

TEST_CASE("perplexity: scores the second half of each whole window, BOS first",
          "[decoder][perplexity]") {
  const bigram_model model(random_table(), 64);
  const ids tokens = random_tokens(35);
  const auto result = qp::perplexity(model, tokens, {.context = 8, .bos_id = 0});

  double sum = 0.0;
  std::size_t n = 0;
  for (std::size_t start = 0; start + 8 <= tokens.size(); start += 8) {
    for (std::size_t p = 4; p <= 6; ++p, ++n) sum += loss(tokens[start + p], tokens[start + p + 1]);
  }
  CHECK(n == 12);
  CHECK(result.n_scored == n);
  CHECK(result.mean_nll == Approx(sum / static_cast<double>(n)).epsilon(rounding));
  CHECK(result.perplexity() == std::exp(result.mean_nll));
  // Four windows, each begun anew with BOS; the last token of a window is only predicted.
  REQUIRE(model.sequences.size() == 4);
  for (std::size_t w = 0; w < 4; ++w) {
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(8 * w);
    ids shown(first, first + 7);
    shown[0] = 0;
    CHECK(model.sequences[w] == shown);
  }
}

TEST_CASE("perplexity: position 0 can be scored; BOS changes what it predicts from",
          "[decoder][perplexity]") {
  const bigram_model model(random_table(), 64);
  const ids tokens = {3, 4, 5};
  const qp::perplexity_options from_0 = {.context = 3, .score_from = 0};
  CHECK(qp::perplexity(model, tokens, from_0).mean_nll ==
        Approx((loss(3, 4) + loss(4, 5)) / 2).epsilon(rounding));
  CHECK(qp::perplexity(model, tokens, {.context = 3, .score_from = 0, .bos_id = 1}).mean_nll ==
        Approx((loss(1, 4) + loss(4, 5)) / 2).epsilon(rounding));
}

TEST_CASE("perplexity: windows may overlap", "[decoder][perplexity]") {
  const bigram_model model(random_table(), 64);
  const ids tokens = random_tokens(12);
  // Every token from position 6 on is scored once: 6, 7 | 8, 9 | 10, 11.
  const auto result = qp::perplexity(model, tokens, {.context = 8, .stride = 2, .score_from = 5});
  double sum = 0.0;
  for (std::size_t p = 5; p < 11; ++p) sum += loss(tokens[p], tokens[p + 1]);
  CHECK(result.n_scored == 6);
  CHECK(result.mean_nll == Approx(sum / 6).epsilon(rounding));
}

TEST_CASE("perplexity: the batch does not matter", "[decoder][perplexity]") {
  const bigram_model model(random_table(), 64);
  const ids tokens = random_tokens(64);
  const auto with_batch = [&](std::size_t batch) {
    return qp::perplexity(model, tokens, {.context = 16, .score_from = 3, .max_batch = batch})
        .mean_nll;
  };
  for (const std::size_t batch : {1u, 2u, 5u, 12u}) CHECK(with_batch(batch) == with_batch(64));
}

TEST_CASE("perplexity: the defaults follow the model", "[decoder][perplexity]") {
  const bigram_model model(random_table(), 10);
  CHECK(qp::perplexity(model, random_tokens(10)).n_scored == 4);  // window 10, from position 5
  CHECK(model.contexts.back() == 10);
  const bigram_model large(random_table(), 4000);
  CHECK(qp::perplexity(large, random_tokens(600)).n_scored == 255);
}

TEST_CASE("perplexity: reports progress in tokens", "[decoder][perplexity]") {
  const bigram_model model(random_table(), 64);
  std::vector<std::pair<std::size_t, std::size_t>> calls;
  const auto note = [&](std::size_t done, std::size_t total) { calls.emplace_back(done, total); };
  qp::perplexity(model, random_tokens(25), {.context = 10}, note);
  CHECK(calls == std::vector<std::pair<std::size_t, std::size_t>>{{10, 20}, {20, 20}});
  calls.clear();
  const std::vector<ids> lines = {{1, 2, 3}, {4, 5}};
  qp::sequence_perplexity(model, lines, {}, note);
  CHECK(calls == std::vector<std::pair<std::size_t, std::size_t>>{{3, 5}, {5, 5}});
}

TEST_CASE("sequence_perplexity: the mean is over all tokens of all sequences",
          "[decoder][perplexity]") {
  const bigram_model model(random_table(), 64);
  const std::vector<ids> lines = {{1, 2, 3, 4}, {5}, {}, {6, 0}};
  const auto result = qp::sequence_perplexity(model, lines);
  CHECK(result.n_scored == 4);
  CHECK(result.mean_nll ==
        Approx((loss(1, 2) + loss(2, 3) + loss(3, 4) + loss(6, 0)) / 4).epsilon(rounding));
  const auto cut = qp::sequence_perplexity(model, lines, {.context = 3});
  CHECK(cut.mean_nll == Approx((loss(1, 2) + loss(2, 3) + loss(6, 0)) / 3).epsilon(rounding));
  const auto later = qp::sequence_perplexity(model, lines, {.score_from = 2});
  CHECK(later.mean_nll == Approx(loss(3, 4)).epsilon(rounding));
}

TEST_CASE("perplexity: logits far from zero neither overflow nor vanish", "[decoder][perplexity]") {
  auto table = random_table();
  for (std::size_t i = 0; i < vocab_size; ++i) {
    for (float& logit : table[i]) logit += i % 2 == 0 ? 4096.0f : -4096.0f;
  }
  const bigram_model model(table, 64);
  const double shifted = qp::sequence_perplexity(model, std::vector<ids>{{2, 3, 4}}).mean_nll;
  // Adding 4096 rounds the logits to 2^-12 / 2.
  CHECK(shifted == Approx((loss(2, 3) + loss(3, 4)) / 2).margin(5e-4));
}

TEST_CASE("perplexity: wrong arguments are refused", "[decoder][perplexity]") {
  const bigram_model model(random_table(), 16);
  const ids tokens = random_tokens(20);
  const auto refused = [&](const qp::perplexity_options& options, const char* part) {
    CHECK_THROWS_AS(qp::perplexity(model, tokens, options), qp::argument_error);
    CHECK_THROWS_WITH(qp::perplexity(model, tokens, options), contains(part));
  };
  refused({.context = 17}, "context of 17");
  refused({.context = 1}, "context of 1");
  refused({.context = 8, .score_from = 7}, "score_from is 7");
  refused({.context = 8, .score_from = std::numeric_limits<std::size_t>::max() - 1}, "score_from");
  refused({.context = 8, .bos_id = 7}, "token 7");
  CHECK_THROWS_WITH(qp::perplexity(model, random_tokens(9), {.context = 10}), contains("9 tokens"));
  CHECK_THROWS_WITH(qp::perplexity(model, ids{1, 2, 7, 3}, {.context = 4}), contains("position 2"));
  const std::vector<ids> none = {{1}, {}};
  CHECK_THROWS_AS(qp::sequence_perplexity(model, none), qp::argument_error);
  CHECK_THROWS_AS(qp::sequence_perplexity(model, std::vector<ids>{{1, -1}}), qp::argument_error);
}

TEST_CASE("perplexity: NaN logits are an error, not a number", "[decoder][perplexity]") {
  auto table = random_table();
  table[3][2] = std::numeric_limits<float>::quiet_NaN();
  const bigram_model model(table, 16);
  CHECK_THROWS_AS(qp::sequence_perplexity(model, std::vector<ids>{{3, 4}}), qp::value_error);
}

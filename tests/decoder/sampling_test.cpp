// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/sampling.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"

namespace qp = qompose;
using qompose_tests::contains;

namespace {

const std::vector<qp::token_id> no_history;

/// Every token that many draws from the same logits bring.
std::map<qp::token_id, int> drawn(const qp::sampling_options& options,
                                  const std::vector<float>& logits, int draws = 2000) {
  qp::sampler sample(options);
  std::map<qp::token_id, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sample(logits, no_history)];
  return counts;
}

std::set<qp::token_id> tokens_of(const std::map<qp::token_id, int>& counts) {
  std::set<qp::token_id> tokens;
  for (const auto& [token, count] : counts) tokens.insert(token);
  return tokens;
}

/// Logits whose softmax is `probabilities`, shifted by a constant.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3.0));
  return logits;
}

const std::vector<float> five = logits_of({0.1, 0.4, 0.05, 0.25, 0.2});

}  // namespace

TEST_CASE("sampler: temperature 0 takes the likeliest token, the lowest id on ties",
          "[decoder][sampling]") {
  qp::sampler greedy({});
  CHECK(greedy(std::vector<float>{1, 3, 2}, no_history) == 1);
  CHECK(greedy(std::vector<float>{1, 3, 3, 3}, no_history) == 1);
  CHECK(greedy(std::vector<float>{-5}, no_history) == 0);
  CHECK(greedy(std::vector<float>{0.0f, -0.0f}, no_history) == 0);
  CHECK(greedy(std::vector<float>{-0.0f, 0.0f}, no_history) == 0);
  const float barred = -std::numeric_limits<float>::infinity();
  CHECK(greedy(std::vector<float>{barred, -1e30f, barred}, no_history) == 1);
}

TEST_CASE("sampler: draws follow the probabilities", "[decoder][sampling]") {
  const int draws = 20000;
  const auto counts = drawn({.temperature = 1, .seed = 3}, five, draws);
  const std::vector<double> expected = {0.1, 0.4, 0.05, 0.25, 0.2};
  for (const auto& [token, count] : counts) {
    const double p = expected[static_cast<std::size_t>(token)];
    // Five standard deviations of a binomial count.
    const double tolerance = 5.0 * std::sqrt(p * (1.0 - p) * draws);
    CHECK(count == Approx(p * draws).margin(tolerance));
  }
}

TEST_CASE("sampler: temperature sharpens and flattens", "[decoder][sampling]") {
  const std::vector<float> two = logits_of({0.8, 0.2});
  const int draws = 20000;
  // p^(1/T), normalized: T = 0.5 gives 0.64 : 0.04, T = 2 gives sqrt(0.8) : sqrt(0.2).
  for (const auto& [temperature, p] : {std::pair(0.5f, 0.64 / 0.68), std::pair(2.0f, 2.0 / 3.0)}) {
    const auto counts = drawn({.temperature = temperature, .seed = 5}, two, draws);
    CHECK(counts.at(0) == Approx(p * draws).margin(5.0 * std::sqrt(p * (1 - p) * draws)));
  }
}

TEST_CASE("sampler: top_k keeps the k likeliest", "[decoder][sampling]") {
  CHECK(tokens_of(drawn({.temperature = 1, .top_k = 1}, five)) == std::set<qp::token_id>{1});
  CHECK(tokens_of(drawn({.temperature = 1, .top_k = 3}, five)) == std::set<qp::token_id>{1, 3, 4});
  CHECK(tokens_of(drawn({.temperature = 1, .top_k = 99}, five)).size() == 5);
  // Ties at the border go to the lowest id.
  const std::vector<float> equal(6, 1.0f);
  CHECK(tokens_of(drawn({.temperature = 1, .top_k = 2}, equal)) == std::set<qp::token_id>{0, 1});
}

TEST_CASE("sampler: top_p keeps the fewest that reach the sum", "[decoder][sampling]") {
  // Sums from the likeliest on: 0.4, 0.65, 0.85, 0.95, 1.
  const auto kept = [](float top_p) {
    return tokens_of(drawn({.temperature = 1, .top_p = top_p}, five));
  };
  CHECK(kept(0.01f) == std::set<qp::token_id>{1});
  CHECK(kept(0.39f) == std::set<qp::token_id>{1});
  CHECK(kept(0.41f) == std::set<qp::token_id>{1, 3});
  CHECK(kept(0.84f) == std::set<qp::token_id>{1, 3, 4});
  CHECK(kept(0.86f) == std::set<qp::token_id>{0, 1, 3, 4});
  CHECK(kept(1.0f).size() == 5);
}

TEST_CASE("sampler: min_p drops what is far below the likeliest", "[decoder][sampling]") {
  const auto kept = [](float min_p) {
    return tokens_of(drawn({.temperature = 1, .min_p = min_p}, five));
  };
  CHECK(kept(0.0f).size() == 5);
  CHECK(kept(0.2f) == std::set<qp::token_id>{0, 1, 3, 4});
  CHECK(kept(0.45f) == std::set<qp::token_id>{1, 3, 4});
  CHECK(kept(0.55f) == std::set<qp::token_id>{1, 3});
  CHECK(kept(1.0f) == std::set<qp::token_id>{1});
}

TEST_CASE("sampler: each filter sees what the one before it left", "[decoder][sampling]") {
  // The two likeliest are 0.4 and 0.25; among them 0.4 is 0.615, which already reaches 0.6.
  CHECK(tokens_of(drawn({.temperature = 1, .top_k = 2, .top_p = 0.6f}, five)) ==
        std::set<qp::token_id>{1});
  CHECK(tokens_of(drawn({.temperature = 1, .top_k = 2, .top_p = 0.63f}, five)) ==
        std::set<qp::token_id>{1, 3});
  // The filters come before the temperature, which would otherwise keep more.
  CHECK(tokens_of(drawn({.temperature = 50, .min_p = 0.45f}, five)) ==
        std::set<qp::token_id>{1, 3, 4});
  CHECK(tokens_of(drawn({.temperature = 50, .top_p = 0.84f}, five)) ==
        std::set<qp::token_id>{1, 3, 4});
}

TEST_CASE("sampler: the repetition penalty acts once on each token of the window",
          "[decoder][sampling]") {
  qp::sampler sample({.repetition_penalty = 2.0f});
  using history = std::vector<qp::token_id>;
  // 4 becomes 2, below 3; seen twice it is not halved twice.
  CHECK(sample(std::vector<float>{4, 3, 1.5f}, history{0}) == 1);
  CHECK(sample(std::vector<float>{4, 1.5f, 1}, history{0, 0, 0}) == 0);
  // A negative logit is multiplied: -1 becomes -2.
  CHECK(sample(std::vector<float>{-1, -1.5f}, history{0}) == 1);
  // What lies before the window is forgotten.
  history long_ago(qp::sampler::penalty_window + 1, 1);
  long_ago.front() = 0;
  CHECK(sample(std::vector<float>{4, 3, 2.5f}, long_ago) == 0);
  long_ago[1] = 0;
  CHECK(sample(std::vector<float>{4, 3, 2.5f}, long_ago) == 2);
}

TEST_CASE("sampler: a seed stands for its draws", "[decoder][sampling]") {
  const std::vector<float> logits(50, 0.0f);
  const auto draws = [&](std::uint64_t seed) {
    qp::sampler sample({.temperature = 1, .seed = seed});
    std::vector<qp::token_id> tokens;
    for (int i = 0; i < 20; ++i) tokens.push_back(sample(logits, no_history));
    return tokens;
  };
  CHECK(draws(7) == draws(7));
  CHECK(draws(7) != draws(8));
}

TEST_CASE("sampler: infinities and NaN", "[decoder][sampling]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float temperature = GENERATE(0.0f, 1.0f);
  qp::sampler sample({.temperature = temperature});
  CHECK_THROWS_AS(sample(std::vector<float>{1, nan}, no_history), qp::value_error);
  CHECK_THROWS_WITH(sample(std::vector<float>{1, nan}, no_history), contains("token 1"));
  CHECK_THROWS_AS(sample(std::vector<float>{infinity, 1}, no_history), qp::value_error);
  CHECK_THROWS_AS(sample(std::vector<float>{-infinity, -infinity}, no_history), qp::value_error);
  CHECK_THROWS_AS(sample(std::vector<float>{}, no_history), qp::argument_error);
  CHECK(sample(std::vector<float>{-infinity, 0, -infinity}, no_history) == 1);
  // Far apart, the sum of the weights must not overflow or vanish.
  CHECK(sample(std::vector<float>{-3e38f, 3e38f}, no_history) == 1);
}

TEST_CASE("sampler: options outside their range are refused by name", "[decoder][sampling]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](const qp::sampling_options& options, const std::string& name) {
    CHECK_THROWS_AS(qp::sampler(options), qp::argument_error);
    CHECK_THROWS_WITH(qp::sampler(options), contains(name));
  };
  refused({.temperature = -1}, "temperature");
  refused({.temperature = nan}, "temperature");
  refused({.top_k = -1}, "top_k");
  refused({.top_p = 0}, "top_p");
  refused({.top_p = 1.5f}, "top_p");
  refused({.top_p = nan}, "top_p");
  refused({.min_p = -0.1f}, "min_p");
  refused({.min_p = 1.5f}, "min_p");
  refused({.repetition_penalty = 0}, "repetition_penalty");
  qp::sampler penalizing({.repetition_penalty = 2});
  CHECK_THROWS_AS(penalizing(five, std::vector<qp::token_id>{5}), qp::argument_error);
  CHECK_THROWS_AS(penalizing(five, std::vector<qp::token_id>{-1}), qp::argument_error);
}

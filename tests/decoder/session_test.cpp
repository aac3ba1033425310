// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "qompose/decoder/decoder.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/small_decoder.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

struct paged_model : qp::model_recipe {
  using cache = qp::kv_cache<qp::keys<qp::fp32>, qp::values<qp::fp32>, qp::layout<qp::paged<16>>>;
};

/// Two local layers, one that sees all.
template <class Recipe>
qp::decoder<Recipe> local_and_global() {
  return small_decoder<Recipe>({7, 0, 20});
}

/// Logits do not depend on whether the tokens that nobody sees are still there; where sums are cut
/// does, so the last digits may differ.
void check_same(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) < 1e-5f);
}

}  // namespace

TEST_CASE("session: caches of local layers hold no more than their windows ask for",
          "[decoder][session]") {
  const auto model = local_and_global<qp::model_recipe>();
  const auto tokens = some_tokens(100);
  for (const std::size_t batch : {std::size_t{1}, std::size_t{6}, std::size_t{100}}) {
    CAPTURE(batch);
    auto state = model.start(100, batch);
    CHECK(state.caches[0].capacity() == std::min<std::size_t>(100, 7 - 1 + batch));
    CHECK(state.caches[1].capacity() == 100);
    CHECK(state.caches[2].capacity() == std::min<std::size_t>(100, 20 - 1 + batch));

    std::vector<qp::kv_cache<>> whole;
    for (std::size_t i = 0; i < 3; ++i) whole.emplace_back(1, 4, 100);
    qp::session<qp::kv_cache<>> all(model.config(), 100, batch, std::move(whole));
    CHECK(all.cache_bytes() >= state.cache_bytes());
    for (std::size_t first = 0; first < 100; first += 25) {
      const auto part = std::span(tokens).subspan(first, 25);
      check_same(logits_after(model, state, part), logits_after(model, all, part));
    }
    if (batch == 1) CHECK_THROWS_WITH(state.truncate(60), contains("have been dropped"));
    // A sequence that begins anew needs nothing of the old one.
    state.truncate(0);
    all.truncate(0);
    check_same(logits_after(model, state, tokens), logits_after(model, all, tokens));
  }
}

TEST_CASE("session: pages of local layers go back to the pool", "[decoder][session]") {
  const auto model = local_and_global<paged_model>();
  const auto contiguous = local_and_global<qp::model_recipe>();
  const auto tokens = some_tokens(100);
  auto state = model.start(100, 5);
  auto all = contiguous.start(100, 5);
  check_same(logits_after(model, state, tokens), logits_after(contiguous, all, tokens));
  const std::size_t page = paged_model::cache::block_bytes(4);
  CHECK(state.caches[0].storage_bytes() <= 2 * page);
  CHECK(state.caches[1].storage_bytes() == 7 * page);
  CHECK(state.caches[2].storage_bytes() <= 3 * page);
}

TEST_CASE("session: five local layers to a global one take a quarter of the memory",
          "[decoder][session]") {
  qp::decoder_config config;
  config.dim = config.hidden_dim = 8;
  config.n_layers = 6;
  config.n_heads = config.n_kv_heads = 1;
  config.head_dim = 8;
  const auto bytes = [&] {
    return static_cast<double>(qp::session<qp::kv_cache<>>(config, 8192, 1).cache_bytes());
  };
  const double whole = bytes();
  config.windows = {1024, 1024, 1024, 1024, 1024, 0};
  // (5 * 1024 + 8192) / (6 * 8192), and for each local layer up to a block of 64 tokens more, as
  // what is kept may begin within a block.
  CHECK(bytes() / whole >= (5 * 1024 + 8192) / (6 * 8192.0));
  CHECK(bytes() / whole <= (5 * 1088 + 8192) / (6 * 8192.0));
}

TEST_CASE("session: the number of caches is that of the layers", "[decoder][session]") {
  const auto model = local_and_global<qp::model_recipe>();
  const std::vector<qp::kv_cache<>> none;
  CHECK_THROWS_WITH(qp::session<qp::kv_cache<>>(model.config(), 8, 1, none),
                    contains("0 caches, the model has 3 layers"));
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/cache_choice.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/generate.hpp"
#include "qompose/decoder/perplexity.hpp"
#include "qompose/decoder/with_cache.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/small_decoder.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

using plain = qp::kv_cache<>;
using pages = qp::kv_cache<qp::keys<qp::fp32, qp::before_rope>, qp::values<qp::fp32>,
                           qp::layout<qp::paged<16>>>;

struct paged_model : qp::model_recipe {
  using cache = pages;
};

}  // namespace

TEST_CASE("cache_choice: a cache chosen at run time computes the same", "[decoder][cache_choice]") {
  const auto model = small_decoder<qp::model_recipe>();
  const auto tokens = some_tokens(40);

  auto fixed = model.start(60, 7);
  auto chosen = model.start(qp::choose_cache<plain>(), 60, 7);
  CHECK(logits_after(model, chosen, tokens) == logits_after(model, fixed, tokens));
  CHECK(chosen.cache_bytes() == fixed.cache_bytes());
  CHECK(chosen.caches[2].length() == 40);

  const auto paged = small_decoder<paged_model>();
  auto fixed_pages = paged.start(60, 7);
  auto chosen_pages = model.start(qp::choose_cache<pages>(), 60, 7);
  CHECK(logits_after(model, chosen_pages, tokens) == logits_after(paged, fixed_pages, tokens));
}

TEST_CASE("cache_choice: generate and perplexity take a model with a chosen cache",
          "[decoder][cache_choice]") {
  const auto model = small_decoder<qp::model_recipe>();
  const auto paged = small_decoder<paged_model>();
  const qp::with_cache chosen(model, qp::choose_cache<pages>());
  const auto tokens = some_tokens(90);
  const qp::thread_pool threads(2);

  qp::generate_options options;
  options.max_tokens = 20;
  options.stop_at_end = false;
  const auto prompt = std::span(tokens).first(5);
  CHECK(qp::generate(chosen, prompt, options) == qp::generate(paged, prompt, options));
  CHECK(qp::generate(chosen, prompt, options, qp::ignore_stream{}, threads) ==
        qp::generate(paged, prompt, options));

  const qp::perplexity_options window{.context = 30};
  CHECK(qp::perplexity(chosen, tokens, window).mean_nll ==
        qp::perplexity(paged, tokens, window).mean_nll);
}

TEST_CASE("cache_choice: a copy is a sequence of its own", "[decoder][cache_choice]") {
  const auto model = small_decoder<qp::model_recipe>();
  const auto tokens = some_tokens(40);
  auto state = model.start(qp::choose_cache<pages>(), 60);
  model.forward(std::span(tokens).first(20), state);
  qp::any_cache copy = state.caches[0];
  const auto once = logits_after(model, state, std::span(tokens).subspan(20));
  CHECK(copy.length() == 20);

  state.truncate(20);
  copy = state.caches[1];
  CHECK(logits_after(model, state, std::span(tokens).subspan(20)) == once);
  CHECK(copy.length() == 20);
  qp::any_cache moved = std::move(copy);
  moved.truncate(3);
  CHECK(moved.length() == 3);
  CHECK_THROWS_WITH(moved.truncate(4), contains("cannot truncate"));
}

TEST_CASE("cache_choice: what a program has to know of a choice", "[decoder][cache_choice]") {
  const qp::cache_choice whole = qp::choose_cache<plain>();
  CHECK(whole.composition == "kv_cache<keys<fp32>, values<fp32>>");
  CHECK(whole.bytes_per_token(2, 64) == 2 * 2 * 64 * 4);
  CHECK(whole.block_bytes(64) == 0);

  const auto model = small_decoder<qp::model_recipe>();
  const qp::cache_choice choice = qp::choose_cache<pages>();
  CHECK(choice.block_bytes(4) == pages::block_bytes(4));
  const auto pool = std::make_shared<qp::block_pool>(3, choice.block_bytes(4));
  auto state = model.start(choice, 60, 8, pool);
  model.forward(some_tokens(16), state);
  CHECK(pool->free_blocks() == 0);
  const auto more = some_tokens(1);
  CHECK_THROWS_AS(model.forward(more, state), qp::out_of_blocks);
  CHECK(state.length() == 16);
  CHECK_THROWS_WITH(model.start(choice, 101), contains("the model takes 1..100"));
}

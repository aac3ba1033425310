// SPDX-License-Identifier: Apache-2.0
// Counts allocations of this program: a call no larger than an earlier one must make none.

#include <cstddef>
#include <cstdlib>
#include <new>
#include <tuple>

#include "policy_lists.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/nn/elementwise.hpp"
#include "qompose/nn/latent_attention.hpp"
#include "qompose/nn/latent_cache.hpp"
#include "qompose/nn/rope.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace {

std::size_t allocations = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Inlined deletes without their news look like a mismatch to g++.
#define NOT_INLINED [[gnu::noinline]]

NOT_INLINED void* operator new(std::size_t size) {
  return allocate(size, alignof(std::max_align_t));
}
NOT_INLINED void* operator new[](std::size_t size) {
  return allocate(size, alignof(std::max_align_t));
}
NOT_INLINED void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
NOT_INLINED void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
NOT_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
NOT_INLINED void operator delete[](void* memory) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
NOT_INLINED void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEMPLATE_LIST_TEST_CASE("linear: a call no larger than an earlier one allocates nothing",
                        "[nn][allocations]", qompose_tests::recipes) {
  const auto layer = qp::compress<TestType>(random_matrix(40, 70, 1).view());
  const matrix x = random_matrix(20, 70, 2);
  matrix y(20, 40);
  qp::workspace scratch;
  std::size_t before = allocations;
  layer(x.view(), y.view(), qp::serial{}, scratch);
  CHECK(allocations > before);  // the counter counts

  before = allocations;
  for (const std::size_t n : {20u, 1u, 7u, 20u}) {
    layer(x.view().rows(0, n), y.view().rows(0, n), qp::serial{}, scratch);
  }
  CHECK(allocations == before);
}

TEST_CASE("decoder parts: allocate nothing while running", "[nn][allocations]") {
  const matrix x = random_matrix(3, 2 * 64, 3);
  const matrix gain(1, 128, 1.0f);
  matrix y(3, 128);
  matrix half(3, 64);
  const qp::rope_table table(64, 10, 10000.0f);
  qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::fp16>> cache(2, 64, 10);

  const std::size_t before = allocations;
  cache.append(x.view(), x.view());
  qp::attention(x.view(), cache, y.view());
  qp::rms_norm(x.view(), gain.values(), 1e-5f, y.view());
  qp::add(x.view(), y.view());
  qp::swiglu(x.view(), half.view());
  qp::apply_rope(table, qp::rope_pairing::half, 5, y.view());
  cache.truncate(1);
  const std::size_t after = allocations;
  CHECK(after == before);
}

TEST_CASE("attention: a call no larger than an earlier one allocates nothing",
          "[nn][allocations]") {
  // More tokens than one piece of work takes.
  constexpr std::size_t tokens = 5000;
  const matrix x = random_matrix(tokens, 16, 3);
  matrix y(8, 16);
  qp::kv_cache<> cache(1, 16, tokens);
  cache.append(x.view(), x.view());
  qp::latent_cache<qp::fp32> latents(16, tokens);
  latents.append(x.view());
  const matrix u = random_matrix(16, 16, 4);
  const qp::latent_factors factors(u.view(), u.view(), 1);
  qp::rope_table table(16, tokens, 10000.0f);
  const qp::attention_options options{.rope = &table};

  const auto count = [&](const auto& call) {
    std::size_t before = 0;
    for (const std::size_t n : {8u, 1u, 3u, 8u}) {
      call(x.view().rows(0, n), y.view().rows(0, n));
      if (before == 0) before = allocations;
    }
    return allocations - before;
  };
  qp::workspace scratch;
  CHECK(count([&](auto q, auto out) { qp::attention(q, cache, out, qp::serial{}, {}, scratch); }) ==
        0);
  CHECK(count([&](auto q, auto out) {
          qp::latent_attention(q, latents, factors, out, qp::serial{}, options, scratch);
        }) == 0);
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/core/shared_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/catch.hpp"

namespace qp = qompose;

namespace {

struct counted_keeper : qp::memory_keeper {
  explicit counted_keeper(int& gone) : destroyed(&gone) {
    destroy = [](qp::memory_keeper* keeper) noexcept {
      ++*static_cast<counted_keeper*>(keeper)->destroyed;
      delete static_cast<counted_keeper*>(keeper);
    };
  }
  int* destroyed;
};

}  // namespace

TEST_CASE("shared_bytes: its own are zeros, and a copy has others", "[core][storage]") {
  qp::shared_bytes a(70);
  CHECK(a.size() == 70);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  CHECK(a.data()[69] == 0);
  REQUIRE(a.writable() == a.data());
  a.writable()[3] = 7;
  qp::shared_bytes b = a;
  CHECK(b.data() != a.data());
  CHECK(b.writable() == b.data());
  CHECK(b.data()[3] == 7);

  const std::uint8_t* memory = a.data();
  const qp::shared_bytes c = std::move(a);
  CHECK(c.data() == memory);
  b = c;
  CHECK(b.data() != memory);
  b = qp::shared_bytes();
  CHECK(b.size() == 0);
  CHECK(b.data() == nullptr);
}

TEST_CASE("shared_bytes: the keeper goes with the last of its users", "[core][storage]") {
  alignas(64) const std::uint8_t memory[64] = {1, 2, 3};
  int destroyed = 0;
  {
    qp::shared_bytes a(new counted_keeper(destroyed), memory, 64);
    CHECK(a.data() == memory);
    CHECK(a.writable() == nullptr);
    {
      const qp::shared_bytes b = a;  // NOLINT: the copy is what is tested
      CHECK(b.data() == memory);
    }
    CHECK(destroyed == 0);
    qp::shared_bytes c(8);
    c = a;
    a = qp::shared_bytes(16);
    CHECK(destroyed == 0);
    CHECK(c.data()[2] == 3);
    const qp::shared_bytes d = std::move(c);
    CHECK(d.size() == 64);
    CHECK(destroyed == 0);
  }
  CHECK(destroyed == 1);
}

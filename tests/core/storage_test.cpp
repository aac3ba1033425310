// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <cstdint>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/workspace.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }

}  // namespace

TEST_CASE("aligned_buffer: holds zeros at a multiple of 64 bytes", "[core][storage]") {
  // The last size is past the point where huge pages are asked for.
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{63}, std::size_t{4097}, (std::size_t{5} << 20) + 3}) {
    const qp::aligned_buffer<float> buffer(size);
    CHECK(buffer.size() == size);
    CHECK(aligned(buffer.data()));
    bool zero = true;
    for (std::size_t i = 0; i < size; ++i) zero = zero && buffer[i] == 0.0f;
    CHECK(zero);
  }
  CHECK(qp::aligned_buffer<float>(0).data() == nullptr);
  CHECK(qp::aligned_buffer<float>().size() == 0);
}

TEST_CASE("aligned_buffer: large ones start where a huge page may", "[core][storage]") {
  constexpr std::size_t huge_page = std::size_t{1} << 21;
  // The second and the last end where the last page becomes a huge one, past their own end.
  for (const std::size_t size :
       {huge_page, huge_page * 7 / 4, huge_page * 9 / 2, 4 * huge_page - 1}) {
    qp::aligned_buffer<unsigned char> buffer(size);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % huge_page == 0);
    buffer[size - 1] = 1;
    const qp::aligned_buffer<unsigned char> copy = buffer;
    CHECK(copy[size - 1] == 1);
    CHECK(copy[size - 2] == 0);
  }
}

TEST_CASE("aligned_buffer: copies are independent and moves leave nothing behind",
          "[core][storage]") {
  qp::aligned_buffer<int> a(3);
  a[1] = 7;
  qp::aligned_buffer<int> b = a;
  b[1] = 8;
  CHECK(a[1] == 7);

  const int* memory = a.data();
  qp::aligned_buffer<int> c = std::move(a);
  CHECK(c.data() == memory);
  b = c;
  CHECK(b[1] == 7);
  CHECK(b.data() != memory);
  b = std::move(c);
  CHECK(b.data() == memory);
  b = qp::aligned_buffer<int>();
  CHECK(b.size() == 0);
}

TEST_CASE("workspace: grows to the largest request and then stays where it is", "[core][storage]") {
  qp::workspace scratch;
  CHECK(scratch.bytes() == 0);
  std::byte* first = scratch.reserve(1000);
  CHECK(aligned(first));
  CHECK(scratch.reserve(10) == first);
  CHECK(scratch.reserve(1000) == first);
  CHECK(aligned(scratch.reserve(1001)));
  CHECK(scratch.bytes() == 1001);
}

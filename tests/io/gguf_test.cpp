// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/gguf.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/gguf_writer.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::gguf_writer;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

namespace {

const std::vector<float> six = {1, 2, 3, 4, 5, 6};

/// A sound file to start from.
gguf_writer sound() {
  gguf_writer writer;
  writer.set("name", "sound");
  writer.add_tensor("six", {2, 3}, six);
  return writer;
}

/// Checks that opening `bytes` as a GGUF file fails with a message that contains `expected`.
void check_refused(const std::vector<std::byte>& bytes, const std::string& expected) {
  const temporary_folder folder;
  write_file(folder / "bad.gguf", bytes);
  CHECK_THROWS_AS(qp::gguf_file(folder / "bad.gguf"), qp::file_error);
  CHECK_THROWS_WITH(qp::gguf_file(folder / "bad.gguf"), contains("bad.gguf") && contains(expected));
}

template <class T>
void overwrite(std::vector<std::byte>& bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

}  // namespace

TEST_CASE("gguf: metadata of every type arrives as it was written", "[io][gguf]") {
  const temporary_folder folder;
  const std::uint32_t version = GENERATE(2u, 3u);
  gguf_writer writer(version);
  writer.set("u8", std::uint8_t{200});
  writer.set("i8", std::int8_t{-100});
  writer.set("u16", std::uint16_t{60000});
  writer.set("i16", std::int16_t{-30000});
  writer.set("u32", std::uint32_t{4'000'000'000});
  writer.set("i32", std::int32_t{-2'000'000'000});
  writer.set("u64", std::numeric_limits<std::uint64_t>::max());
  writer.set("i64", std::numeric_limits<std::int64_t>::min());
  writer.set("f32", 0.1f);
  writer.set("f64", 0.1);
  writer.set("yes", true);
  writer.set("text", "with \"quotes\" and ä");
  writer.set("empty text", "");
  writer.set("texts", std::vector<std::string>{"a", "", "ccc"});
  writer.set("bytes", std::vector<std::uint8_t>{0, 255});
  writer.set("shorts", std::vector<std::int16_t>{-1, 2});
  writer.set("longs", std::vector<std::uint64_t>{std::numeric_limits<std::uint64_t>::max()});
  writer.set("floats", std::vector<float>{0.5f, -2.0f});
  writer.set("none", std::vector<std::string>{});
  writer.write(folder / "file.gguf");

  const qp::gguf_file file(folder / "file.gguf");
  CHECK(file.find("u8")->as_uint() == 200);
  CHECK(std::get<std::int64_t>(file.find("i8")->value) == -100);
  CHECK(file.find("u16")->as_uint() == 60000);
  CHECK(file.find("i16")->as_double() == -30000.0);
  CHECK(file.find("u32")->as_uint() == 4'000'000'000);
  CHECK(std::get<std::int64_t>(file.find("i32")->value) == -2'000'000'000);
  CHECK(file.find("u64")->as_uint() == std::numeric_limits<std::uint64_t>::max());
  CHECK(std::get<std::int64_t>(file.find("i64")->value) ==
        std::numeric_limits<std::int64_t>::min());
  CHECK(file.find("f32")->as_double() == static_cast<double>(0.1f));
  CHECK(file.find("f64")->as_double() == 0.1);
  CHECK(file.find("yes")->as_bool());
  CHECK(file.find("text")->as_string() == "with \"quotes\" and ä");
  CHECK(file.find("empty text")->as_string().empty());
  CHECK(file.find("texts")->strings() == std::vector<std::string>{"a", "", "ccc"});
  CHECK(file.find("bytes")->integers() == std::vector<std::int64_t>{0, 255});
  CHECK(file.find("shorts")->integers() == std::vector<std::int64_t>{-1, 2});
  CHECK(file.find("floats")->doubles() == std::vector<double>{0.5, -2.0});
  CHECK(file.find("none")->strings().empty());
  CHECK(file.find("absent") == nullptr);
  CHECK(file.metadata().size() == 19);
  CHECK(file.tensors().empty());

  CHECK_THROWS_WITH(file.find("text")->as_uint(), contains("text"));
  CHECK_THROWS_AS(file.find("i8")->as_uint(), qp::file_error);
  CHECK_THROWS_AS(file.find("f32")->as_uint(), qp::file_error);
  CHECK_THROWS_AS(file.find("u8")->as_bool(), qp::file_error);
  CHECK_THROWS_AS(file.find("u8")->as_string(), qp::file_error);
  CHECK_THROWS_AS(file.find("text")->as_double(), qp::file_error);
  CHECK_THROWS_AS(file.find("bytes")->strings(), qp::file_error);
  CHECK_THROWS_AS(file.find("bytes")->doubles(), qp::file_error);
  CHECK_THROWS_AS(file.find("floats")->integers(), qp::file_error);
  CHECK_THROWS_AS(file.find("longs")->integers(), qp::file_error);
}

TEST_CASE("gguf: tensors have their outermost dimension first and decode by rows", "[io][gguf]") {
  const temporary_folder folder;
  const std::size_t alignment = GENERATE(std::size_t{1}, std::size_t{32}, std::size_t{256});
  gguf_writer writer(3, alignment);
  writer.set("general.alignment", static_cast<std::uint32_t>(alignment));
  writer.add_tensor("six", {2, 3}, six);
  const std::vector<std::byte> halves = {std::byte{0x00}, std::byte{0x3c}, std::byte{0x00},
                                         std::byte{0xc0}};
  writer.add_tensor("halves", {2}, 1, halves);
  writer.write(folder / "file.gguf");

  const qp::file_tensor copy = [&] {
    const qp::gguf_file file(folder / "file.gguf");
    REQUIRE(file.tensors().size() == 2);
    CHECK(file.find_tensor("seven") == nullptr);
    CHECK(file.find_tensor("halves")->rows() == 1);
    std::vector<float> values(2);
    file.find_tensor("halves")->decode_rows(0, 1, values.data());
    CHECK(values == std::vector<float>{1.0f, -2.0f});
    return *file.find_tensor("six");
  }();
  // The tensor keeps its file mapped.
  CHECK(copy.shape == std::vector<std::size_t>{2, 3});
  CHECK(copy.encoding->name == "F32");
  std::vector<float> row(3);
  copy.decode_rows(1, 1, row.data());
  CHECK(row == std::vector<float>{4, 5, 6});
  CHECK_THROWS_AS(copy.decode_rows(1, 2, row.data()), qp::argument_error);
  CHECK_THROWS_AS(copy.decode_rows(3, 0, row.data()), qp::argument_error);
}

TEST_CASE("gguf: a damaged file is an error that says where", "[io][gguf][hostile]") {
  constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  std::vector<std::byte> bytes = sound().bytes();

  SECTION("magic") {
    overwrite(bytes, 0, 'X');
    check_refused(bytes, "does not begin with GGUF");
  }
  SECTION("version") {
    overwrite(bytes, 4, std::uint32_t{1});
    check_refused(bytes, "GGUF version 1");
  }
  SECTION("more tensors than the file holds") {
    overwrite(bytes, 8, huge);
    check_refused(bytes, "are left");
  }
  SECTION("more metadata than the file holds") {
    overwrite(bytes, 16, huge / 2);
    check_refused(bytes, "");
  }
  SECTION("a string longer than the file") {
    overwrite(bytes, 24, huge - 7);
    check_refused(bytes, "metadata key");
  }
  SECTION("bytes after the end") {
    bytes.resize(bytes.size() + 33);
    check_refused(bytes, "left over");
  }
  SECTION("a tensor cut short") {
    bytes.resize(bytes.size() - 32);
    check_refused(bytes, "six: 24 bytes");
  }
}

TEST_CASE("gguf: metadata and tensors that contradict themselves are errors",
          "[io][gguf][hostile]") {
  using edit = std::function<void(gguf_writer&)>;
  struct bad_case {
    std::string expected;
    edit apply;
  };
  const std::vector<std::byte> block(32);
  const std::size_t big = std::size_t{1} << 60;
  const bad_case cases[] = {
      {"metadata key name appears twice", [](auto& w) { w.set("name", "again"); }},
      {"six: a tensor of this name appears twice",
       [](auto& w) { w.add_tensor("six", {2, 3}, six); }},
      {"general.alignment: 0", [](auto& w) { w.set("general.alignment", 0u); }},
      {"general.alignment: 48", [](auto& w) { w.set("general.alignment", 48u); }},
      {"general.alignment: has another kind",
       [](auto& w) { w.set("general.alignment", "thirty-two"); }},
      {"not a multiple of the alignment 64",
       [](auto& w) {
         w.set("general.alignment", 64u);
         w.add_tensor("b", {2, 3}, six);
       }},
      {"scalar: 0 dimensions", [](auto& w) { w.add_place("scalar", {}, 0, 32); }},
      {"many: 5 dimensions", [](auto& w) { w.add_place("many", {1, 1, 1, 1, 1}, 0, 32); }},
      {"many: 1000 dimensions",
       [](auto& w) { w.add_place("many", std::vector<std::size_t>(1000, 1), 0, 32); }},
      {"zero: shape [2, 0]", [](auto& w) { w.add_place("zero", {2, 0}, 0, 32); }},
      {"wide: size", [=](auto& w) { w.add_place("wide", {big, big}, 0, 32); }},
      {"wide: size", [=](auto& w) { w.add_place("wide", {8 * big}, 0, 32); }},
      {"wide: 4611686018427387900 bytes", [=](auto& w) { w.add_place("wide", {big - 1}, 0, 32); }},
      {"far: ", [](auto& w) { w.add_place("far", {4}, 0, std::uint64_t{1} << 62); }},
      {"far: size",
       [](auto& w) { w.add_place("far", {4}, 0, std::numeric_limits<std::uint64_t>::max() - 31); }},
      {"overlaps another tensor", [](auto& w) { w.add_place("twin", {2}, 0, 0); }},
      {"odd: rows of 31 elements, expected a multiple of 32 for Q4_0",
       [&](auto& w) { w.add_tensor("odd", {31}, 2, block); }},
      {"odd: elements of type IQ2_XXS (16)",
       [&](auto& w) { w.add_tensor("odd", {256}, 16, block); }},
      {"odd: elements of type unknown (77)", [&](auto& w) { w.add_tensor("odd", {8}, 77, block); }},
  };
  for (const bad_case& c : cases) {
    CAPTURE(c.expected);
    gguf_writer writer = sound();
    c.apply(writer);
    check_refused(writer.bytes(), c.expected);
  }
}

TEST_CASE("gguf: arrays of arrays, unknown types and impossible counts are errors",
          "[io][gguf][hostile]") {
  gguf_writer writer;
  writer.set("list", std::vector<std::uint32_t>{1, 2, 3});
  // magic, version, two counts; length of the key, key; then type, element type, count.
  const std::size_t type_at = 24 + 8 + 4;
  std::vector<std::byte> bytes = writer.bytes();
  SECTION("array of arrays") {
    overwrite(bytes, type_at + 4, std::uint32_t{9});
    check_refused(bytes, "list: arrays of arrays");
  }
  SECTION("unknown type") {
    overwrite(bytes, type_at, std::uint32_t{13});
    check_refused(bytes, "list: unknown metadata type 13");
  }
  SECTION("unknown element type") {
    overwrite(bytes, type_at + 4, std::uint32_t{0xffff'ffff});
    check_refused(bytes, "list: unknown metadata type");
  }
  SECTION("count") {
    overwrite(bytes, type_at + 8, std::uint64_t{1} << 61);
    check_refused(bytes, "list: an array of 2305843009213693952 elements");
  }
  SECTION("neither true nor false") {
    gguf_writer flags;
    flags.set("flag", true);
    std::vector<std::byte> wrong = flags.bytes();
    overwrite(wrong, 24 + 8 + 4 + 4, std::uint8_t{2});
    check_refused(wrong, "flag: is neither true nor false");
  }
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/gguf_writer.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
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
using qompose_tests::read_file;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

namespace {

constexpr std::uint32_t f32 = 0;
constexpr std::uint32_t q4_0 = 2;

const std::vector<float> six = {1, 2, 3, 4, 5, 6};

/// Everything that metadata can be, on either of the two writers.
template <class Writer>
void set_every_type(Writer& writer) {
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
  writer.set("no", false);
  writer.set("text", "with \"quotes\" and ä");
  writer.set("empty text", std::string());
  writer.set("texts", std::vector<std::string>{"a", "", "ccc"});
  writer.set("u8s", std::vector<std::uint8_t>{0, 255});
  writer.set("i8s", std::vector<std::int8_t>{-128, 127});
  writer.set("u16s", std::vector<std::uint16_t>{65535});
  writer.set("i16s", std::vector<std::int16_t>{-1, 2});
  writer.set("u32s", std::vector<std::uint32_t>{7});
  writer.set("i32s", std::vector<std::int32_t>{-7, 7, 0});
  writer.set("u64s", std::vector<std::uint64_t>{std::numeric_limits<std::uint64_t>::max()});
  writer.set("i64s", std::vector<std::int64_t>{-1});
  writer.set("f32s", std::vector<float>{0.5f, -2.0f});
  writer.set("f64s", std::vector<double>{1e300});
  writer.set("none", std::vector<std::string>{});
}

std::vector<std::filesystem::path> files_in(const temporary_folder& folder) {
  std::vector<std::filesystem::path> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::byte> bytes_of(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("gguf_writer: metadata of every type is stored as an independent writer stores it",
          "[io][gguf]") {
  const temporary_folder folder;
  qp::gguf_writer writer(folder / "ours.gguf");
  set_every_type(writer);
  writer.finish();
  qompose_tests::gguf_writer other;
  set_every_type(other);
  CHECK(read_file(folder / "ours.gguf") == other.bytes());
  CHECK(writer.size() == other.bytes().size());
}

TEST_CASE("gguf_writer: arrays of bool are stored and read", "[io][gguf]") {
  const temporary_folder folder;
  qp::gguf_writer writer(folder / "file.gguf");
  writer.set("flags", std::vector<bool>{true, false, true});
  writer.set("array", std::array<bool, 2>{false, true});
  writer.finish();
  const qp::gguf_file file(folder / "file.gguf");
  CHECK(file.find("flags")->integers() == std::vector<std::int64_t>{1, 0, 1});
  CHECK(file.find("array")->integers() == std::vector<std::int64_t>{0, 1});
}

TEST_CASE("gguf_writer: metadata is copied bit for bit and in order, without the keys named",
          "[io][gguf]") {
  const temporary_folder folder;
  qompose_tests::gguf_writer source(GENERATE(2u, 3u));
  source.set("zebra", "first in the file, last in the alphabet");
  set_every_type(source);
  source.set("left out", std::uint8_t{1});
  source.set("apple", true);
  source.write(folder / "source.gguf");

  qompose_tests::gguf_writer expected;
  expected.set("zebra", "first in the file, last in the alphabet");
  set_every_type(expected);
  expected.set("apple", true);
  expected.set("left out", std::uint32_t{2});

  const qp::gguf_file file(folder / "source.gguf");
  qp::gguf_writer writer(folder / "copy.gguf");
  writer.copy_metadata(file, {"left out", "absent"});
  writer.set("left out", std::uint32_t{2});
  writer.finish();
  CHECK(read_file(folder / "copy.gguf") == expected.bytes());
}

TEST_CASE("gguf_writer: tensors arrive as they were written, in pieces and at any alignment",
          "[io][gguf]") {
  const temporary_folder folder;
  const auto alignment = GENERATE(0u, 1u, 32u, 256u);
  qp::gguf_writer writer(folder / "file.gguf");
  if (alignment != 0) writer.set("general.alignment", alignment);
  writer.declare("six", {2, 3}, f32);
  const std::vector<std::size_t> shape = {1, 2, 32};
  writer.declare("blocks", shape, q4_0);
  writer.declare("one", {1}, f32);
  const std::vector<std::byte> all = bytes_of(six);
  writer.write("six", std::span(all).first(5));
  writer.write("six", {});
  writer.write("six", std::span(all).subspan(5));
  writer.write("blocks", std::vector<std::byte>(36, std::byte{7}));
  writer.write("one", std::span(all).first(4));
  CHECK_FALSE(std::filesystem::exists(folder / "file.gguf"));
  writer.finish();

  CHECK(files_in(folder) == std::vector<std::filesystem::path>{"file.gguf"});
  CHECK(writer.size() == std::filesystem::file_size(folder / "file.gguf"));
  const qp::gguf_file file(folder / "file.gguf");
  REQUIRE(file.tensors().size() == 3);
  std::vector<float> values(6);
  CHECK(file.find_tensor("six")->shape == std::vector<std::size_t>{2, 3});
  file.find_tensor("six")->decode_rows(0, 2, values.data());
  CHECK(values == six);
  CHECK(file.find_tensor("blocks")->shape == shape);
  CHECK(file.find_tensor("blocks")->encoding->name == "Q4_0");
  CHECK(std::ranges::all_of(file.find_tensor("blocks")->bytes,
                            [](std::byte b) { return b == std::byte{7}; }));
  file.find_tensor("one")->decode_rows(0, 1, values.data());
  CHECK(values[0] == 1.0f);
}

TEST_CASE("gguf_writer: misuse is an error that names the key or tensor, and leaves no file",
          "[io][gguf]") {
  using use = std::function<void(qp::gguf_writer&)>;
  struct bad_case {
    std::string expected;
    use apply;
  };
  const std::vector<std::byte> bytes(64);
  const auto declared = [](qp::gguf_writer& w) {
    w.set("name", "good");
    w.declare("a", {2, 3}, f32);
    w.declare("b", {4}, f32);
  };
  const auto write = [&bytes](qp::gguf_writer& w, const char* name, std::size_t n) {
    w.write(name, std::span(bytes).first(n));
  };
  const bad_case cases[] = {
      {"name: the metadata has this key already", [](auto& w) { w.set("name", 1); }},
      {"metadata: an empty key", [](auto& w) { w.set("", 1); }},
      {"the key has more than 65535 bytes", [](auto& w) { w.set(std::string(65536, 'k'), 1); }},
      {"general.alignment: expected", [](auto& w) { w.set("general.alignment", 48u); }},
      {"general.alignment: expected", [](auto& w) { w.set("general.alignment", 0u); }},
      {"general.alignment: expected", [](auto& w) { w.set("general.alignment", 32); }},
      {"general.alignment: expected", [](auto& w) { w.set("general.alignment", "32"); }},
      {"a: is declared twice", [](auto& w) { w.declare("a", {1}, f32); }},
      {"tensor: an empty name", [](auto& w) { w.declare("", {1}, f32); }},
      {"64 bytes, expected less", [](auto& w) { w.declare(std::string(64, 'n'), {1}, f32); }},
      {"c: elements of type IQ2_XXS (16) are not written",
       [](auto& w) { w.declare("c", {256}, 16); }},
      {"c: elements of type unknown (99)", [](auto& w) { w.declare("c", {256}, 99); }},
      {"c: 0 dimensions, expected 1 to 4",
       [](auto& w) { w.declare("c", std::vector<std::size_t>(), f32); }},
      {"c: 5 dimensions", [](auto& w) { w.declare("c", {1, 1, 1, 1, 1}, f32); }},
      {"c: shape [3, 0] has a dimension of 0", [](auto& w) { w.declare("c", {3, 0}, f32); }},
      {"c: rows of 33 elements, expected a multiple of 32 for Q4_0",
       [](auto& w) { w.declare("c", {2, 33}, q4_0); }},
      {"c: size",
       [](auto& w) { w.declare("c", {std::size_t{1} << 40, std::size_t{1} << 40}, f32); }},
      {"c: no tensor of this name is declared", [&](auto& w) { write(w, "c", 4); }},
      {"b: it is the turn of a, which has 0 of its 24 bytes", [&](auto& w) { write(w, "b", 16); }},
      {"b: it is the turn of a, which has 20 of its 24 bytes",
       [&](auto& w) {
         write(w, "a", 20);
         write(w, "b", 16);
       }},
      {"a: 0 + 25 bytes, expected 24", [&](auto& w) { write(w, "a", 25); }},
      {"a: 20 + 5 bytes, expected 24",
       [&](auto& w) {
         write(w, "a", 20);
         write(w, "a", 5);
       }},
      {"a: all declared tensors are written",
       [&](auto& w) {
         write(w, "a", 24);
         write(w, "b", 16);
         write(w, "a", 4);
       }},
      {"late: comes after the first tensor's bytes",
       [&](auto& w) {
         write(w, "a", 1);
         w.set("late", 1);
       }},
      {"late: comes after the first tensor's bytes",
       [&](auto& w) {
         write(w, "a", 1);
         w.declare("late", {1}, f32);
       }},
      {"a: has 0 of its 24 bytes", [](auto& w) { w.finish(); }},
      {"b: has 3 of its 16 bytes",
       [&](auto& w) {
         write(w, "a", 24);
         write(w, "b", 3);
         w.finish();
       }},
  };
  const temporary_folder folder;
  for (const bad_case& c : cases) {
    CAPTURE(c.expected);
    {
      qp::gguf_writer writer(folder / "file.gguf");
      declared(writer);
      CHECK_THROWS_AS(c.apply(writer), qp::error);
    }
    qp::gguf_writer writer(folder / "file.gguf");
    declared(writer);
    CHECK_THROWS_WITH(c.apply(writer), contains("file.gguf: ") && contains(c.expected));
  }
  CHECK(files_in(folder).empty());
}

TEST_CASE("gguf_writer: a file with tensors is finished once", "[io][gguf]") {
  const temporary_folder folder;
  qp::gguf_writer writer(folder / "file.gguf");
  writer.finish();
  CHECK_THROWS_AS(writer.finish(), qp::file_error);
  CHECK_THROWS_AS(writer.set("key", 1), qp::argument_error);
  CHECK(qp::gguf_file(folder / "file.gguf").metadata().empty());
}

TEST_CASE("new_file: the target is the old file until the new one is complete", "[io]") {
  const temporary_folder folder;
  write_file(folder / "name", "old");
  const std::string text = "new";
  {
    qp::new_file file(folder / "name");
    file.write(std::as_bytes(std::span(text)));
    CHECK(files_in(folder).size() == 2);
    CHECK(read_file(folder / "name").size() == 3);
    CHECK(read_file(folder / "name")[0] == std::byte{'o'});
  }
  CHECK(files_in(folder) == std::vector<std::filesystem::path>{"name"});
  CHECK(read_file(folder / "name")[0] == std::byte{'o'});

  qp::new_file file(folder / "name");
  qp::new_file second(folder / "name");  // two writers do not disturb each other
  file.write(std::as_bytes(std::span(text)));
  file.finish();
  CHECK(read_file(folder / "name")[0] == std::byte{'n'});
  CHECK(file.size() == 3);
  CHECK_THROWS_AS(file.write(std::as_bytes(std::span(text))), qp::file_error);
  second.finish();
  CHECK(read_file(folder / "name").empty());
}

TEST_CASE("new_file: a target that cannot be written is an error that names it", "[io]") {
  const temporary_folder folder;
  CHECK_THROWS_WITH(qp::new_file(""), contains("name"));
  CHECK_THROWS_WITH(qp::new_file(folder.path()), contains("is a folder"));
  CHECK_THROWS_WITH(qp::new_file(folder / "absent/name"), contains("absent/name.part"));
  CHECK_THROWS_AS(qp::new_file(folder / "absent/name"), qp::file_error);
  CHECK(files_in(folder).empty());
}

TEST_CASE("new_file: when the system takes no more bytes, it is an error and nothing is left",
          "[io]") {
  const temporary_folder folder;
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  std::string message;
  bool is_left = true;
  bool is_given_up = false;
  {
    qp::gguf_writer writer(folder / "file.gguf");
    writer.declare("a", {1000}, f32);
    const rlimit low{1000, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &low);
    try {
      writer.write("a", std::vector<std::byte>(4000));
    } catch (const qp::file_error& error) {
      message = error.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &before);
    is_left = !files_in(folder).empty();
    try {
      writer.write("a", std::vector<std::byte>(4000));
    } catch (const qp::file_error&) {
      is_given_up = true;
    }
  }
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, contains("file.gguf.part: "));
  CHECK_FALSE(is_left);
  CHECK(is_given_up);
}

TEST_CASE("new_file: a file that cannot get its name is removed", "[io]") {
  const temporary_folder folder;
  {
    qp::new_file file(folder / "name");
    std::filesystem::create_directory(folder / "name");
    CHECK_THROWS_AS(file.finish(), qp::file_error);
  }
  CHECK(files_in(folder) == std::vector<std::filesystem::path>{"name"});
}

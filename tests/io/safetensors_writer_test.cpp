// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/safetensors_writer.hpp"

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "qompose/io/mapped_file.hpp"
#include "qompose/io/safetensors.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::temporary_folder;

namespace {

const std::vector<float> six = {1, 2, 3, 4, 5, 6};
const std::span<const std::byte> bytes = std::as_bytes(std::span(six));

std::size_t n_files(const temporary_folder& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder.path()), {}));
}

}  // namespace

TEST_CASE("safetensors_writer: the reader gets back what was written", "[io][safetensors]") {
  const temporary_folder folder;
  const auto path = folder / "a.safetensors";
  qp::safetensors_writer writer(path);
  writer.set_metadata("text", "\"quoted\", \\ and \xc3\xa4");
  writer.declare("z", "F32", {2, 3});
  writer.declare("none", "U8", {0, 7});
  writer.declare("a.b", "BF16", {1});
  writer.write("z", bytes.first(10));
  writer.write("z", bytes.subspan(10));
  writer.write("none", {});
  writer.write("a.b", bytes.first(2));
  CHECK_FALSE(std::filesystem::exists(path));
  writer.finish();
  CHECK(n_files(folder) == 1);

  const qp::mapped_file file(path);
  const auto content =
      qp::read_safetensors_content(file.bytes(), [](const qp::safetensors_entry&) {});
  CHECK(content.metadata.at("text") == "\"quoted\", \\ and \xc3\xa4");
  REQUIRE(content.tensors.size() == 3);
  CHECK(content.tensors[0].name == "z");
  CHECK(content.tensors[0].dtype == "F32");
  CHECK(content.tensors[0].shape == std::vector<std::size_t>{2, 3});
  CHECK(std::vector(content.tensors[0].bytes.begin(), content.tensors[0].bytes.end()) ==
        std::vector(bytes.begin(), bytes.end()));
  CHECK((content.tensors[0].bytes.data() - file.bytes().data()) % 64 == 0);
  CHECK(content.tensors[1].name == "none");
  CHECK(content.tensors[1].bytes.empty());
  CHECK(content.tensors[2].name == "a.b");
  CHECK(content.tensors[2].bytes.size() == 2);
}

TEST_CASE("safetensors_writer: data is aligned however long the header is, and may be absent",
          "[io][safetensors]") {
  const temporary_folder folder;
  const auto path = folder / "a.safetensors";
  for (std::size_t n = 0; n < 66; ++n) {
    qp::safetensors_writer writer(path);
    writer.set_metadata("filler", std::string(n, 'x'));
    writer.declare("t", "F32", {6});
    writer.write("t", bytes);
    writer.finish();
    const qp::mapped_file file(path);
    CHECK((file.bytes().size() - bytes.size()) % 64 == 0);
    CHECK(qp::safetensors_checkpoint(path).tensors().size() == 1);
  }
  qp::safetensors_writer nothing(path);
  nothing.finish();
  CHECK(qp::safetensors_checkpoint(path).tensors().empty());
}

TEST_CASE("safetensors_writer: calls that do not fit are errors, and nothing is left",
          "[io][safetensors]") {
  const temporary_folder folder;
  {
    qp::safetensors_writer writer(folder / "a.safetensors");
    writer.set_metadata("key", "1");
    CHECK_THROWS_WITH(writer.set_metadata("key", "2"), contains("key: the metadata has this key"));
    writer.declare("a", "F32", {6});
    writer.declare("b", "U8", {3});
    CHECK_THROWS_AS(writer.declare("a", "F32", {6}), qp::argument_error);
    CHECK_THROWS_WITH(writer.declare("a", "F32", {6}),
                      contains("a.safetensors: a: is declared twice"));
    CHECK_THROWS_WITH(writer.declare("__metadata__", "F32", {6}), contains("name of the metadata"));
    CHECK_THROWS_WITH(writer.declare("c", "Q4", {6}), contains("c: elements of type Q4"));
    CHECK_THROWS_WITH(writer.declare("c", "F64", {std::size_t{1} << 62}), contains("overflows"));
    CHECK_THROWS_WITH(writer.declare("c", "U8", {~std::size_t{0}}), contains("overflows"));
    CHECK_THROWS_WITH(writer.write("c", bytes), contains("c: no tensor of this name"));
    CHECK_THROWS_WITH(writer.write("b", bytes.first(3)),
                      contains("b: it is the turn of a, which has 0 of its 24 bytes"));
    CHECK_THROWS_WITH(writer.finish(), contains("a: has 0 of its 24 bytes"));
    writer.write("a", bytes.first(20));
    CHECK_THROWS_WITH(writer.write("a", bytes),
                      contains("a: 24 more bytes, but it has 20 of its 24"));
    CHECK_THROWS_WITH(writer.declare("d", "U8", {1}), contains("the header is written"));
    CHECK_THROWS_WITH(writer.set_metadata("d", "1"), contains("the header is written"));
    writer.write("a", bytes.first(4));
    CHECK_THROWS_WITH(writer.finish(), contains("b: has 0 of its 3 bytes"));
    writer.write("b", bytes.first(3));
    CHECK_THROWS_WITH(writer.write("b", bytes), contains("all declared tensors are written"));
  }
  {
    qp::safetensors_writer writer(folder / "a.safetensors");
    writer.declare("\xff", "U8", {1});
    CHECK_THROWS_AS(writer.write("\xff", bytes.first(1)), qp::argument_error);
  }
  CHECK(n_files(folder) == 0);
  CHECK_THROWS_AS(qp::safetensors_writer(folder / "absent/a"), qp::file_error);
}

// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/safetensors.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/safetensors_writer.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::safetensors_bytes;
using qompose_tests::safetensors_writer;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

namespace {

const std::vector<float> six = {1, 2, 3, 4, 5, 6};

std::vector<float> decode(const qp::file_tensor& tensor) {
  std::vector<float> values(tensor.rows() * tensor.cols());
  tensor.decode_rows(0, tensor.rows(), values.data());
  return values;
}

}  // namespace

TEST_CASE("safetensors: tensors of all three types arrive as they were written",
          "[io][safetensors]") {
  const temporary_folder folder;
  const std::vector<std::byte> half_one = {std::byte{0x00}, std::byte{0x3c}};
  const std::vector<std::byte> brain_one = {std::byte{0x80}, std::byte{0x3f}};
  safetensors_writer writer;
  writer.add_tensor("z", {2, 3}, six);
  writer.add_tensor("half", {1}, "F16", half_one);
  writer.add_tensor("brain", {1, 1}, "BF16", brain_one);
  writer.write(folder / "model.safetensors");

  for (const auto& path : {folder / "model.safetensors", folder.path()}) {
    const qp::safetensors_checkpoint checkpoint(path);
    REQUIRE(checkpoint.tensors().size() == 3);
    CHECK(checkpoint.tensors()[0].name == "z");
    CHECK(checkpoint.find_tensor("z")->shape == std::vector<std::size_t>{2, 3});
    CHECK(decode(*checkpoint.find_tensor("z")) == six);
    CHECK(decode(*checkpoint.find_tensor("half")) == std::vector<float>{1});
    CHECK(decode(*checkpoint.find_tensor("brain")) == std::vector<float>{1});
    CHECK(checkpoint.find_tensor("absent") == nullptr);
  }
}

TEST_CASE("safetensors: metadata and blanks after the header are allowed", "[io][safetensors]") {
  const temporary_folder folder;
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}   )";
  write_file(folder / "a.safetensors", safetensors_bytes(header, std::as_bytes(std::span(six))));
  const qp::safetensors_checkpoint checkpoint(folder / "a.safetensors");
  CHECK(decode(*checkpoint.find_tensor("a")) == six);
}

TEST_CASE("safetensors: a header that lies is an error that names the tensor",
          "[io][safetensors][hostile]") {
  const temporary_folder folder;
  const auto tensor = [](const std::string& shape, const std::string& offsets) {
    return R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  const std::string nested(100'000, '[');
  struct bad_case {
    std::string expected;
    std::string header;
  };
  const bad_case cases[] = {
      {"header", ""},
      {"header", "{"},
      {"header", "not JSON"},
      {"header", "\xff\xfe"},
      {"nested more than 64 deep", nested},
      {"nested more than 64 deep", R"({"a":)" + nested},
      {"is not a JSON object", "[]"},
      {"a: expected dtype", R"({"a":5})"},
      {"a: expected dtype", R"({"a":{"dtype":"F32","shape":[6]}})"},
      {"a: expected dtype", tensor("6", "[0,24]")},
      {"a: expected dtype", tensor("[6]", "[0]")},
      {"a: expected dtype", tensor("[6]", "[0,24,24]")},
      {"a: sizes and offsets", tensor("[-6]", "[0,24]")},
      {"a: sizes and offsets", tensor("[6.0]", "[0,24]")},
      {"a: sizes and offsets", tensor("[\"6\"]", "[0,24]")},
      {"a: sizes and offsets", tensor("[6]", "[0,1e30]")},
      {"a: sizes and offsets", tensor("[6]", "[-24,0]")},
      {"header", tensor("[6]", "[0,1e400]")},
      {"a: bytes 24 to 0", tensor("[6]", "[24,0]")},
      {"a: bytes 0 to 28", tensor("[7]", "[0,28]")},
      {"a: bytes 0 to 18446744073709551615", tensor("[6]", "[0,18446744073709551615]")},
      {"a: has 20 bytes", tensor("[6]", "[0,20]")},
      {"a: shape [6, 0]", tensor("[6,0]", "[0,0]")},
      {"a: has no dimensions", tensor("[]", "[0,4]")},
      {"a: size", tensor("[4294967296,4294967296]", "[0,24]")},
      {"a: size", tensor("[4611686018427387904]", "[0,24]")},
      {"a: size", tensor("[4611686018427387904,4]", "[0,24]")},
      {"a: does not begin", tensor("[5]", "[4,24]")},
      {"4 bytes are left over", tensor("[5]", "[0,20]")},
      {"24 bytes are left over", "{}"},
      {"a: elements of type I64", R"({"a":{"dtype":"I64","shape":[3],"data_offsets":[0,24]}})"},
      {"a: elements of type ?", R"({"a":{"dtype":32,"shape":[6],"data_offsets":[0,24]}})"},
      {"key a appears twice", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
                              R"("a":{"dtype":"F32","shape":[3],"data_offsets":[12,24]}})"},
      {"key shape appears twice",
       R"({"a":{"dtype":"F32","shape":[6],"shape":[6],"data_offsets":[0,24]}})"},
      {"does not begin", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
                         R"("b":{"dtype":"F32","shape":[3],"data_offsets":[12,24]}})"},
  };
  for (const bad_case& c : cases) {
    CAPTURE(c.expected, c.header.substr(0, 200));
    write_file(folder / "bad.safetensors",
               safetensors_bytes(c.header, std::as_bytes(std::span(six))));
    CHECK_THROWS_AS(qp::safetensors_checkpoint(folder / "bad.safetensors"), qp::file_error);
    CHECK_THROWS_WITH(qp::safetensors_checkpoint(folder / "bad.safetensors"),
                      contains("bad.safetensors") && contains(c.expected));
  }
  write_file(folder / "bad.safetensors", std::string(8, '\xff'));
  CHECK_THROWS_WITH(qp::safetensors_checkpoint(folder / "bad.safetensors"),
                    contains("18446744073709551615"));
}

TEST_CASE("safetensors: an index gathers the tensors of its shards", "[io][safetensors]") {
  const temporary_folder folder;
  const auto shard = [&](const char* file, const char* name) {
    safetensors_writer writer;
    writer.add_tensor(name, {6}, six);
    writer.write(folder / file);
  };
  const auto write_index = [&](const std::string& weight_map) {
    write_file(folder / "model.safetensors.index.json",
               R"({"metadata":{"total_size":48},"weight_map":)" + weight_map + "}");
  };
  shard("one.safetensors", "a");
  shard("two.safetensors", "b");
  write_index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  {
    const qp::safetensors_checkpoint checkpoint(folder.path());
    CHECK(checkpoint.tensors().size() == 2);
    CHECK(decode(*checkpoint.find_tensor("b")) == six);
  }

  struct bad_case {
    std::string expected;
    std::string weight_map;
  };
  const bad_case cases[] = {
      {"has no weight_map", "{}"},
      {"has no weight_map", "null"},
      {"a: not a file", R"({"a":1})"},
      {"three.safetensors: No such file", R"({"a":"one.safetensors","c":"three.safetensors"})"},
      {"is not a plain file name", R"({"a":"../one.safetensors"})"},
      {"is not a plain file name", R"({"a":"/etc/passwd"})"},
      {"is not a plain file name", R"({"a":".."})"},
      {"is not a plain file name", R"({"a":""})"},
      {"names 2", R"({"a":"one.safetensors","c":"one.safetensors"})"},
      {"b: is not where", R"({"a":"two.safetensors"})"},
      {"key a appears twice", R"({"a":"one.safetensors","a":"one.safetensors"})"},
  };
  for (const bad_case& c : cases) {
    CAPTURE(c.expected);
    write_index(c.weight_map);
    CHECK_THROWS_AS(qp::safetensors_checkpoint(folder.path()), qp::file_error);
    CHECK_THROWS_WITH(qp::safetensors_checkpoint(folder.path()), contains(c.expected));
  }

  shard("two.safetensors", "a");  // now both have a tensor of that name
  write_index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  CHECK_THROWS_AS(qp::safetensors_checkpoint(folder.path()), qp::file_error);
}

TEST_CASE("safetensors: a folder without a checkpoint is an error", "[io][safetensors]") {
  const temporary_folder folder;
  CHECK_THROWS_WITH(qp::safetensors_checkpoint(folder.path()),
                    contains("has neither model.safetensors nor"));
}

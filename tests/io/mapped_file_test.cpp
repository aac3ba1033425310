// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/mapped_file.hpp"

#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using qompose_tests::temporary_folder;
using qompose_tests::write_file;

TEST_CASE("mapped_file: shows the bytes of a file, before and after they are released",
          "[io][mapped_file]") {
  const temporary_folder folder;
  std::vector<std::byte> content(100'000);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i * 7);
  write_file(folder / "file", content);

  qp::mapped_file file(folder / "file");
  const auto same = [&] {
    return std::vector<std::byte>(file.bytes().begin(), file.bytes().end()) == content;
  };
  CHECK(same());
  file.release(file.bytes());
  CHECK(same());
  file.release(file.bytes().subspan(5000, 10));  // less than a page: nothing to release
  file.release({});
  CHECK(same());

  qp::mapped_file moved(std::move(file));
  CHECK(moved.bytes().size() == content.size());
  CHECK(file.bytes().empty());  // NOLINT(bugprone-use-after-move): that is the question
}

TEST_CASE("mapped_file: what is not a regular file with content is an error that names it",
          "[io][mapped_file]") {
  const temporary_folder folder;
  write_file(folder / "empty", "");
  std::filesystem::create_symlink("circle", folder / "circle");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  for (const char* name : {"empty", "circle", "pipe", "missing", ""}) {
    CAPTURE(name);
    CHECK_THROWS_AS(qp::mapped_file(folder / name), qp::file_error);
    CHECK_THROWS_WITH(qp::mapped_file(folder / name), qompose_tests::contains(name));
  }
}

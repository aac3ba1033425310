// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Files of quantized matrices: tight codes, a tensor for each part.
///
/// Metadata: `format` is "qompose.matrix", `version` "1", `composition` the text of the spec as
/// @ref qompose::describe gives it, `rows` and `cols` decimal numbers. io/matrix_parts.hpp lists
/// the tensors, docs/files.md their bytes.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/io/composition_file.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/matrix_parts.hpp"
#include "qompose/io/safetensors_writer.hpp"
#include "qompose/io/save_load.hpp"
#include "qompose/quantize/progressive.hpp"
#include "qompose/recipe/describe.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {

/// The version of matrix files that is written, and the only one that is read.
inline constexpr const char* matrix_file_version = "1";

inline namespace QOMPOSE_ISA {

/// Matrices of one spec in files.
template <tensor_spec Spec>
struct file_format<quantized_matrix<Spec>> {
  static void save(const std::filesystem::path& path, const quantized_matrix<Spec>& q) {
    std::vector<stored_part> parts;
    list_parts<Spec>(parts, "", q.rows(), q.cols());

    safetensors_writer writer(path);
    writer.set_metadata("format", "qompose.matrix");
    writer.set_metadata("version", matrix_file_version);
    writer.set_metadata("composition", describe<Spec>());
    writer.set_metadata("rows", std::to_string(q.rows()));
    writer.set_metadata("cols", std::to_string(q.cols()));
    declare_parts(writer, parts);
    std::size_t next = 0;
    visit_codes(q, [&](const auto& codes, std::size_t, std::size_t) {
      writer.write(parts[next++].name, bytes_of(codes));
    });
    writer.finish();
  }

  [[nodiscard]] static quantized_matrix<Spec> load(const std::filesystem::path& path, placement) {
    composition_file file(path);
    return naming_file(path, [&] {
      file.read_header();
      file.require("format", "qompose.matrix");
      file.require("version", matrix_file_version);
      file.require("composition", describe<Spec>());
      const std::size_t rows = file.extent("rows");
      const std::size_t cols = file.extent("cols");
      std::vector<stored_part> parts;
      list_parts<Spec>(parts, "", rows, cols);
      const auto bytes = file.match(parts);

      quantized_matrix<Spec> q(rows, cols);
      visit_codes(q, part_reader(parts, bytes));
      require_finite_parts(q);
      if (rows > 0 && cols > 0) require_image("codes", q);
      return q;
    });
  }
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Reader of llama2.c checkpoints in their first format (float32, no magic).
///
/// A file is seven 32-bit integers and then the tensors, kind by kind, layer by layer.
///
/// @par Source
/// https://github.com/karpathy/llama2.c, `legacy_export` in export.py.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/file_tensor.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/tensor_encoding.hpp"
#include "qompose/io/tensor_index.hpp"

namespace qompose {

/// The header of a llama2.c file.
struct llama2c_header {
  std::size_t dim = 0;
  std::size_t hidden_dim = 0;
  std::size_t n_layers = 0;
  std::size_t n_heads = 0;
  std::size_t n_kv_heads = 0;
  std::size_t vocab_size = 0;
  std::size_t seq_len = 0;
  /// False when an output head follows the other tensors (stored as a negative vocabulary size).
  bool tied_embedding = true;
};

inline namespace QOMPOSE_ISA {

/// Reads and checks the seven integers.
/// @throws qompose::file_error
[[nodiscard]] inline llama2c_header read_llama2c_header(std::span<const std::byte> bytes) {
  if (bytes.size() < 28) throw file_error("is too short for a llama2.c file");
  std::array<std::int64_t, 7> fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    fields[i] = load_unaligned<std::int32_t>(bytes.data() + 4 * i);
  }
  if (fields[0] == 0x616b3432) {
    throw file_error("is a llama2.c file of version " + std::to_string(fields[1]) +
                     " (ak42); only the first format, without a version, is read");
  }
  llama2c_header header;
  header.tied_embedding = fields[5] > 0;
  fields[5] = header.tied_embedding ? fields[5] : -fields[5];
  for (const std::int64_t field : fields) {
    if (field <= 0)
      throw file_error(
          "is not a model file: no known magic, and read as a llama2.c header it "
          "has the size " +
          std::to_string(field));
  }
  const auto at = [&](std::size_t i) { return static_cast<std::size_t>(fields[i]); };
  header.dim = at(0);
  header.hidden_dim = at(1);
  header.n_layers = at(2);
  header.n_heads = at(3);
  header.n_kv_heads = at(4);
  header.vocab_size = at(5);
  header.seq_len = at(6);
  if (header.dim % header.n_heads != 0 || header.n_heads % header.n_kv_heads != 0) {
    throw file_error("is not a model file: no known magic, and read as a llama2.c header: dim " +
                     std::to_string(header.dim) + ", " + std::to_string(header.n_heads) +
                     " heads, " + std::to_string(header.n_kv_heads) +
                     " KV heads do not divide evenly");
  }
  return header;
}

/// Adds the tensors of a llama2.c file, named as in Meta's Llama checkpoints.
/// @throws qompose::file_error unless the file has exactly the size that its header asks for
inline void read_llama2c_tensors(const llama2c_header& h,
                                 const std::shared_ptr<const mapped_file>& file,
                                 tensor_index& tensors) {
  struct kind {
    std::string_view name;
    bool every_layer;
    std::vector<std::size_t> shape;
  };
  const std::size_t head_dim = h.dim / h.n_heads;
  const std::size_t kv_dim = h.n_kv_heads * head_dim;
  std::vector<kind> kinds = {
      {"tok_embeddings.weight", false, {h.vocab_size, h.dim}},
      {"attention_norm.weight", true, {h.dim}},
      {"attention.wq.weight", true, {h.dim, h.dim}},
      {"attention.wk.weight", true, {kv_dim, h.dim}},
      {"attention.wv.weight", true, {kv_dim, h.dim}},
      {"attention.wo.weight", true, {h.dim, h.dim}},
      {"ffn_norm.weight", true, {h.dim}},
      {"feed_forward.w1.weight", true, {h.hidden_dim, h.dim}},
      {"feed_forward.w2.weight", true, {h.dim, h.hidden_dim}},
      {"feed_forward.w3.weight", true, {h.hidden_dim, h.dim}},
      {"norm.weight", false, {h.dim}},
      // Tables of cosines and sines, from before they were computed; nobody reads them. Half a
      // head is rounded down, as their writer does.
      {"", false, {h.seq_len, head_dim / 2 * 2}},
  };
  if (!h.tied_embedding) kinds.push_back({"output.weight", false, {h.vocab_size, h.dim}});

  // First only sums, so that nothing is made for a header that the file does not bear out.
  std::size_t expected = 28;
  for (const kind& k : kinds) {
    std::size_t size = k.every_layer ? h.n_layers : 1;
    for (const std::size_t dimension : k.shape) {
      size = checked_product(size, dimension, "llama2.c header");
    }
    expected =
        checked_sum(expected, checked_product(size, 4, "llama2.c header"), "llama2.c header");
  }
  if (expected != file->bytes().size()) {
    throw file_error("has " + std::to_string(file->bytes().size()) +
                     " bytes; as a llama2.c file its header asks for " + std::to_string(expected));
  }
  std::size_t offset = 28;
  for (const kind& k : kinds) {
    for (std::size_t layer = 0; layer < (k.every_layer ? h.n_layers : 1); ++layer) {
      if (k.name.empty()) {
        offset += 4 * k.shape[0] * k.shape[1];
        continue;
      }
      const std::string prefix = k.every_layer ? "layers." + std::to_string(layer) + "." : "";
      tensors.add(
          make_file_tensor(prefix + std::string(k.name), k.shape, f32_encoding, file, offset));
      offset += tensors.all().back().bytes.size();
    }
  }
}

/// Maps and reads; the message of an error begins with the path.
[[nodiscard]] inline llama2c_header open_llama2c(const std::filesystem::path& path,
                                                 tensor_index& tensors) {
  const auto file = std::make_shared<const mapped_file>(path);
  return naming_file(path, [&] {
    const llama2c_header header = read_llama2c_header(file->bytes());
    read_llama2c_tensors(header, file, tensors);
    return header;
  });
}

}  // namespace QOMPOSE_ISA

/// An open llama2.c file: its header and its tensors, named as in Meta's Llama checkpoints
/// (`layers.0.attention.wq.weight`). The tensors stay valid without it.
class llama2c_file {
 public:
  /// @throws qompose::file_error unless the file has exactly the size that its header asks for
  QOMPOSE_INLINE explicit llama2c_file(const std::filesystem::path& path)
      : header_(open_llama2c(path, tensors_)) {}

  [[nodiscard]] QOMPOSE_INLINE const llama2c_header& header() const noexcept { return header_; }
  /// All tensors, in the order in which they lie in the file.
  [[nodiscard]] QOMPOSE_INLINE std::span<const file_tensor> tensors() const noexcept {
    return tensors_.all();
  }
  /// The tensor of that name; null if there is none.
  [[nodiscard]] QOMPOSE_INLINE const file_tensor* find_tensor(std::string_view name) const {
    return tensors_.find(name);
  }

 private:
  // Before header_: the constructor fills it on the way to the header.
  tensor_index tensors_;
  llama2c_header header_;
};

}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Opens a model, whatever file it is in.

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>

#include "qompose/core/config.hpp"
#include "qompose/decoder/load_gguf.hpp"
#include "qompose/decoder/load_hugging_face.hpp"
#include "qompose/decoder/load_llama2c.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/io/mapped_file.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Opens a decoder model and checks everything but its values. Matrices are not read yet: they
/// stay in the mapped files until they are compressed.
///
/// @param path  one of
///   - a GGUF file (known by its magic) of architecture `llama`, `qwen2` or `qwen3`
///   - a folder with `config.json` and safetensors files, or a `.safetensors` file beside its
///     `config.json`, for Llama, Mistral, Qwen2 and Qwen3
///   - any other file: a llama2.c file of the first format
/// @return the model; it keeps the files mapped as long as a copy of one of its matrices lives
/// @throws qompose::file_error naming the file when it cannot be read, is damaged, or holds
///         something that the decoder does not compute
/// @throws qompose::shape_error naming a tensor whose shape contradicts the configuration
///
/// @note A sliding attention window, of all layers (Mistral 7B v0.1) or of some (Qwen), is in
///       `config.windows`; `config.seq_len` is the context of the training all the same.
[[nodiscard]] inline model_weights load_model(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked at fails when it is opened
  if (std::filesystem::is_directory(path, ignored) || path.extension() == ".safetensors") {
    return load_hugging_face(path);
  }
  const bool is_gguf = [&] {
    const mapped_file file(path);
    return file.bytes().size() >= 4 && std::memcmp(file.bytes().data(), "GGUF", 4) == 0;
  }();
  if (is_gguf || path.extension() == ".gguf") return load_gguf(path);
  return load_llama2c(path);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief `save` and `load`; matrix_file.hpp, layer_file.hpp and cache_file.hpp say what they
/// store.

#include <filesystem>

#include "qompose/core/config.hpp"

namespace qompose {

/// Where the large parts of what is loaded lie.
enum class placement {
  mapped,  ///< in the file itself, which must not be shortened as long as they are used
  copied,  ///< in memory of their own, of huge pages where the system has them
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// How a type lies in a file; specialized beside each of them.
template <class T>
struct file_format {
  static_assert(sizeof(T) == 0,
                "qompose: save and load: the type has no file of its own; use a "
                "quantized_matrix<...>, a linear<...> or a kv_cache<...>");
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Writes a quantized matrix, a layer or a cache to a safetensors file, with its composition as
/// text.
///
/// The file appears under its name when it is complete; an older one of that name is replaced then.
///
/// @param path    the target, in a folder that exists
/// @param stored  a `quantized_matrix<Spec>`, a `linear<Recipe>` or a `kv_cache<...>`
/// @throws qompose::file_error if the system does not take the file; nothing is left then
template <class T>
void save(const std::filesystem::path& path, const T& stored) {
  detail::file_format<T>::save(path, stored);
}

/// Reads what `save` has written.
///
/// @tparam T     the composition that the file holds: `quantized_matrix<Spec>`, `linear<Recipe>` or
/// a
///               contiguous `kv_cache<...>` (see `load_cache` for pages)
/// @param path   the file
/// @param where  whether a layer's panels stay in the mapped file; all else is always copied
/// @throws qompose::file_error if the file is damaged, of another version, or holds another
///         composition; the message then says both
/// @throws qompose::value_error at a code that its format does not have, and at a scale, zero point
///         or minimum that is not finite
template <class T>
[[nodiscard]] T load(const std::filesystem::path& path, placement where = placement::mapped) {
  return detail::file_format<T>::load(path, where);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

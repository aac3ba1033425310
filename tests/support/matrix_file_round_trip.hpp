// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The round trip of a tensor spec through panels and a file, and a third of the catalogue
/// at a time, so that no translation unit gets large.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "qompose/io/matrix_file.hpp"
#include "qompose/packing/packed_matrix.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue_rows.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"
#include "support/temporary_folder.hpp"

namespace qompose_tests {

namespace detail {
template <std::size_t First, std::size_t... I>
auto specs_from(std::index_sequence<I...>)
    -> std::tuple<typename std::tuple_element_t<
        First + I, std::remove_const_t<decltype(qompose::catalogue)>>::spec...>;
}  // namespace detail

inline constexpr std::size_t catalogue_size =
    std::tuple_size_v<std::remove_const_t<decltype(qompose::catalogue)>>;
inline constexpr std::size_t third_size = (catalogue_size + 2) / 3;

/// The specs of rows [Third * third_size, ...) of the catalogue.
template <std::size_t Third>
using catalogue_third = decltype(detail::specs_from<Third * third_size>(
    std::make_index_sequence<(Third < 2 ? third_size : catalogue_size - 2 * third_size)>()));

/// Dequantized values, bit for bit.
template <class Spec>
bool same_values(const qompose::quantized_matrix<Spec>& a,
                 const qompose::quantized_matrix<Spec>& b) {
  matrix of_a(a.rows(), a.cols());
  matrix of_b(b.rows(), b.cols());
  qompose::dequantize(a, of_a.view());
  qompose::dequantize(b, of_b.view());
  bool equal = of_a.values().size() == of_b.values().size();
  for (std::size_t i = 0; equal && i < of_a.values().size(); ++i) {
    equal = std::bit_cast<std::uint32_t>(of_a.values()[i]) ==
            std::bit_cast<std::uint32_t>(of_b.values()[i]);
  }
  return equal;
}

/// Quantizes, packs, unpacks, saves and loads matrices of odd shapes.
template <class Spec>
void check_matrix_file_round_trip() {
  namespace qp = qompose;
  const temporary_folder folder;
  for (const auto& [rows, cols] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {0, 5}, {5, 0}, {17, 33}, {40, 130}}) {
    INFO("[" << rows << ", " << cols << "]");
    const auto q = qp::quantize<Spec>(random_matrix(rows, cols, 7 + rows).view());
    qp::packed_matrix<Spec> packed(rows, cols);
    packed.store(0, q);
    const auto unpacked = packed.quantized();
    qp::save(folder / "matrix.safetensors", unpacked);
    const auto loaded = qp::load<qp::quantized_matrix<Spec>>(folder / "matrix.safetensors");
    CHECK(same(loaded, q));
    CHECK(same_values(loaded, q));
    CHECK(loaded.storage_bytes() == q.storage_bytes());
  }
  // The writer leaves nothing beside the file.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

}  // namespace qompose_tests

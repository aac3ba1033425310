// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Files of layers: panels as the kernels read them, mapped rather than copied.
///
/// Metadata: `format` is "qompose.layer", `version` "1", `panel_layout` the version of the table in
/// packing/panels.hpp, `composition` the text of the recipe as @ref qompose::describe gives it,
/// `in_features` and `out_features` decimal numbers. Tensors: `panels`, U8 [panels, bytes of one],
/// first and therefore at a multiple of 64 in the file; `bias`, F32 [out_features], where the layer
/// has one; `transform`, F32 [floats], where the recipe's transform has data that does not follow
/// from in_features, such as the factors of a `channel_scale`; `activation_scales`, F32 [groups],
/// where the recipe stores them; scales, zero points and codebooks that do not stand in the panels
/// as in a matrix file, and of scales in two levels that do the outer one. What the kernels keep
/// beside that follows from these and is not in the file.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/shared_bytes.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/composition_file.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/known_panels.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/matrix_parts.hpp"
#include "qompose/io/safetensors_writer.hpp"
#include "qompose/io/save_load.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/packing/packed_matrix.hpp"
#include "qompose/quantize/progressive.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/quantize/stored_scales.hpp"
#include "qompose/recipe/describe.hpp"

namespace qompose::detail {

/// The version of layer files that is written, and the only one that is read.
inline constexpr const char* layer_file_version = "1";

inline namespace QOMPOSE_ISA {

/// A mapped file that buffers refer to.
struct kept_file : memory_keeper {
  std::shared_ptr<const mapped_file> file;
};

/// Bytes of a mapped file; copied where that is asked for or where they lie at no multiple of 64.
[[nodiscard]] inline shared_bytes bytes_from(const std::shared_ptr<const mapped_file>& file,
                                             std::span<const std::byte> bytes, placement where) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  if (where == placement::mapped && reinterpret_cast<std::uintptr_t>(data) % 64 == 0) {
    auto keeper = std::make_unique<kept_file>();
    keeper->file = file;
    keeper->destroy = [](memory_keeper* kept) noexcept { delete static_cast<kept_file*>(kept); };
    return {keeper.release(), data, bytes.size()};
  }
  shared_bytes copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.writable(), data, bytes.size());
  return copy;
}

/// Appends what a layer has beside its panels: scales, zero points and codebooks that do not stand
/// in them; where rows share a level of scales, that one alone.
template <tensor_spec Spec>
void list_parts_beside_panels(std::vector<stored_part>& parts, std::size_t rows, std::size_t cols) {
  using layout = panel_layout<Spec>;
  if constexpr (!layout::interleaves) {
    list_parts_beside_codes<Spec>(parts, "", rows, cols);
  } else if constexpr (layout::has_row_scales) {
    const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
    list_parts_beside_codes<typename layout::parts::scale_format>(parts, "scales.", grid.rows,
                                                                  grid.cols);
  }
}

/// Calls visit(codes, rows, cols) for each of them, in the order of the list.
template <class Matrix, class Visit>
void visit_codes_beside_panels(Matrix& q, Visit&& visit) {
  using layout = panel_layout<typename Matrix::spec>;
  if constexpr (!layout::interleaves) {
    visit_codes_beside(q, visit);
  } else if constexpr (layout::has_row_scales) {
    visit_codes_beside(q.scales(), visit);
  }
}

/// All parts of a layer: panels, bias, transform, scales of activations, then what is beside the
/// codes.
/// @tparam Packed  what the panels are read into
/// @throws qompose::file_error if a size overflows
template <tensor_spec Spec, class Packed = packed_matrix<Spec>>
[[nodiscard]] std::vector<stored_part> layer_parts(std::size_t rows, std::size_t cols,
                                                   bool has_bias, std::size_t transform_floats,
                                                   std::size_t activation_scales) {
  // Padding multiplies sizes by less than this; what follows then cannot overflow.
  constexpr std::size_t most_padding = 4 * 16 * 64;
  const std::string what = "panels";
  static_cast<void>(
      checked_product(checked_product(checked_sum(rows, panel_rows, what),
                                      checked_sum(cols, widest_panel_step, what), what),
                      most_padding, what));
  const std::size_t panels = divide_up(rows, panel_rows);
  std::size_t panel_bytes = 0;
  if constexpr (std::is_same_v<Packed, packed_bits>) {
    panel_bytes = Packed::panel_bytes(cols);
  } else {
    panel_bytes = Packed::panel_bytes(rows, cols);
  }
  std::vector<stored_part> parts;
  parts.push_back({what, "U8", {panels, panel_bytes}, panels * panel_bytes});
  const auto add_floats = [&](const char* name, std::size_t count) {
    parts.push_back({name, "F32", {count}, checked_product(count, 4, name)});
  };
  if (has_bias) add_floats("bias", rows);
  if (transform_floats > 0) add_floats("transform", transform_floats);
  if (activation_scales > 0) add_floats("activation_scales", activation_scales);
  list_parts_beside_panels<Spec>(parts, rows, cols);
  return parts;
}

/// Layers of one recipe in files.
template <class Recipe>
struct file_format<linear<Recipe>> {
  using layer_type = linear<Recipe>;
  using spec = typename layer_type::weight_spec;
  using transform = typename layer_type::transform_type;
  using packed_type = typename layer_type::packed_type;
  using layout = panel_layout<spec>;
  static constexpr bool has_parts_beside = !layout::interleaves || layout::has_row_scales;
  static_assert(makes_own_data<transform> || stores_data<transform>,
                "qompose: layer file: the transform has data, for which the file has no part; give "
                "it stored_size, store and restore, see transforms/transform.hpp");

  static void save(const std::filesystem::path& path, const layer_type& layer) {
    const std::span<const float> bias = layer.bias();
    aligned_buffer<float> kept(transform_stored_size<transform>(layer.in_features()));
    store_transform<transform>(layer.transform(), layer.in_features(), kept.data());
    const std::vector<stored_part> parts =
        layer_parts<spec, packed_type>(layer.out_features(), layer.in_features(), !bias.empty(),
                                       kept.size(), layer.activation_scales().size());

    safetensors_writer writer(path);
    writer.set_metadata("format", "qompose.layer");
    writer.set_metadata("version", layer_file_version);
    writer.set_metadata("panel_layout", std::to_string(panel_layout_version));
    writer.set_metadata("composition", describe<typename layer_type::recipe_type>());
    writer.set_metadata("in_features", std::to_string(layer.in_features()));
    writer.set_metadata("out_features", std::to_string(layer.out_features()));
    declare_parts(writer, parts);
    writer.write("panels", std::as_bytes(layer.weights().panels()));
    std::size_t next = 1;
    if (!bias.empty()) writer.write(parts[next++].name, std::as_bytes(bias));
    if (kept.size() > 0) {
      writer.write(parts[next++].name, std::as_bytes(std::span(kept.data(), kept.size())));
    }
    if (!layer.activation_scales().empty()) {
      writer.write(parts[next++].name, std::as_bytes(layer.activation_scales()));
    }
    if constexpr (has_parts_beside) {
      const auto beside = layer.weights().beside_codes();
      visit_codes_beside_panels(beside, [&](const auto& codes, std::size_t, std::size_t) {
        writer.write(parts[next++].name, bytes_of(codes));
      });
    }
    writer.finish();
  }

  [[nodiscard]] static layer_type load(const std::filesystem::path& path, placement where) {
    composition_file file(path);
    return naming_file(path, [&] {
      file.read_header();
      file.require("format", "qompose.layer");
      file.require("version", layer_file_version);
      file.require("composition", describe<typename layer_type::recipe_type>());
      file.require("panel_layout", std::to_string(panel_layout_version));
      const std::size_t rows = file.extent("out_features");
      const std::size_t cols = file.extent("in_features");
      const bool has_bias = file.has("bias");
      const std::size_t transform_floats = transform_stored_size<transform>(cols);
      const std::vector<stored_part> parts =
          layer_parts<spec, packed_type>(rows, cols, has_bias, transform_floats, scale_count(cols));
      const std::vector<std::span<const std::byte>> bytes = file.match(parts);

      const std::size_t at_transform = has_bias ? 2 : 1;
      const std::size_t at_scales = at_transform + (transform_floats > 0 ? 1 : 0);
      const std::size_t first_beside = at_scales + (scale_count(cols) > 0 ? 1 : 0);
      quantized_matrix<spec> beside(rows, cols, without_codes{});
      if constexpr (has_parts_beside) {
        visit_codes_beside_panels(beside, part_reader(std::span(parts).subspan(first_beside),
                                                      std::span(bytes).subspan(first_beside)));
        if constexpr (!layout::interleaves) require_finite_parts(beside);
      }
      aligned_buffer<float> bias(has_bias ? rows : 0);
      if (bias.size() > 0) std::memcpy(bias.data(), bytes[1].data(), bytes[1].size());
      if (bias.size() > 0) require_finite("bias", {bias.data(), 1, bias.size()});
      aligned_buffer<float> kept(transform_floats);
      if (transform_floats > 0) {
        std::memcpy(kept.data(), bytes[at_transform].data(), bytes[at_transform].size());
      }
      typename transform::data transform_data = restore_transform<transform>(kept.data(), cols);
      if constexpr (layer_type::uses_bits) {
        require_clear_tails("panels", bytes[0], cols);
      } else {
        require_known_panels<spec>("panels", bytes[0], rows, cols);
      }

      packed_type weights(bytes_from(file.file(), bytes[0], where), beside);
      // Whether the levels are finite once they are multiplied.
      if constexpr (layout::interleaves && has_parts_beside) {
        require_finite_parts(weights.beside_codes());
      }
      if constexpr (requires { requires is_progressive<typename spec::scale_type::format>; }) {
        if (rows > 0 && cols > 0) require_image("panels", weights.quantized());
      }
      if constexpr (is_calibrated<typename layer_type::recipe_type>) {
        // The layer refuses scales that are not positive numbers of their format.
        aligned_buffer<float> scales(scale_count(cols));
        if (cols > 0) std::memcpy(scales.data(), bytes[at_scales].data(), bytes[at_scales].size());
        return layer_type(std::move(weights), std::move(bias), std::move(transform_data),
                          std::move(scales));
      } else {
        return layer_type(std::move(weights), std::move(bias), std::move(transform_data));
      }
    });
  }

 private:
  /// Scales of activations that a layer with `cols` inputs has in its file.
  [[nodiscard]] static std::size_t scale_count(std::size_t cols) {
    if constexpr (is_calibrated<typename layer_type::recipe_type>) {
      return stored_scale_count<typename layer_type::activation_spec>(cols);
    } else {
      return 0;
    }
  }
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail

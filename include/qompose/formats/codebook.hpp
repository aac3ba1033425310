// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Values that are learned: k-means centroids and their like.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// How far a codebook reaches.
enum class codebook_scope {
  group,   ///< each group of the granularity has its own, and no scale
  tensor,  ///< one for the whole tensor, of values divided by their group's scale
};

/// Codes are indices into `K` sorted values that are found when the tensor is stored.
///
/// `quant<codebook<16>, per_channel>` keeps sixteen values a row; `quant<codebook<16, fp16,
/// codebook_scope::tensor>, per_group<128>, scale<fp16>>` keeps sixteen in all and a scale a group.
///
/// @tparam K      number of values, 2..256
/// @tparam Entry  number format of the values
/// @tparam Scope  whether groups share the values
/// @par Source
/// Han et al., "Deep Compression", ICLR 2016, arXiv:1510.00149, section 3; Hooper et al.,
/// "KVQuant", NeurIPS 2024, arXiv:2401.18079 (one codebook, many scales).
template <int K, class Entry = fp16, codebook_scope Scope = codebook_scope::group>
struct codebook {
  static_assert(K >= 2 && K <= 256,
                "qompose: codebook: the number of entries is not in 2..256; codes have at most 8 "
                "bits");
  static_assert(number_format<Entry>,
                "qompose: codebook: the entries' type is not a number format; write "
                "codebook<16, fp16>");
  using storage_type = std::uint8_t;
  using entry = Entry;

 private:
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "codebook<" + std::size_t{K} +
                                              ", " + std::string_view(Entry::name) +
                                              (Scope == codebook_scope::tensor ? ", tensor>" : ">");

 public:
  static constexpr std::string_view name = name_.view();
  static constexpr int bits = std::bit_width(static_cast<unsigned>(K - 1));
  static constexpr int entries = K;
  static constexpr codebook_scope scope = Scope;
  /// What the scales of a shared codebook bring the largest magnitude of a group to.
  static constexpr float max_finite = 1.0f;

  /// The index of the nearest entry, the lower one at a tie; of equal entries any.
  /// @param values  the K entries, ascending
  /// @param value   any number; NaN gives 0
  QOMPOSE_INLINE static constexpr storage_type encode(const float* values, float value) noexcept {
    unsigned code = 0;
    for (int i = 0; i + 1 < K; ++i) {
      const double doubled = static_cast<double>(values[i]) + static_cast<double>(values[i + 1]);
      code += 2.0 * static_cast<double>(value) > doubled ? 1u : 0u;
    }
    return static_cast<storage_type>(code);
  }
};

/// True for a codebook that the whole tensor shares.
template <class F>
inline constexpr bool is_shared_codebook = [] {
  if constexpr (learned_format<F>) {
    return F::scope == codebook_scope::tensor;
  } else {
    return false;
  }
}();

static_assert(learned_format<codebook<16>>);
static_assert(codebook<16>::bits == 4 && codebook<5>::bits == 3 && codebook<256>::bits == 8);

}  // namespace qompose

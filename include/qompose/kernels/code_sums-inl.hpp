// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Sums of int8 codes, of whole rows and of many short groups.

#if defined(QOMPOSE_KERNELS_CODE_SUMS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_CODE_SUMS_INL_HPP_
#undef QOMPOSE_KERNELS_CODE_SUMS_INL_HPP_
#else
#define QOMPOSE_KERNELS_CODE_SUMS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Sums of codes, by sums of eight bytes, which are unsigned: a code has 128 added to it.
struct CodeSums {
 private:
  static constexpr std::int32_t kRaise = 128;

#if !QOMPOSE_PLAIN_TARGET
  static constexpr std::size_t kShort = 128;
  using DB = hn::CappedTag<std::uint8_t, 16>;
  using DS = hn::Repartition<std::uint64_t, DB>;
  using DW = hn::Repartition<std::int32_t, DB>;

  /// Sums of each eight codes, raised.
  template <class D>
  static HWY_INLINE auto OfEight(D d, const std::int8_t* codes) {
    const auto bytes = hn::LoadU(d, reinterpret_cast<const std::uint8_t*>(codes));
    return hn::SumsOf8(hn::Xor(bytes, hn::Set(d, static_cast<std::uint8_t>(kRaise))));
  }
#endif

 public:
  /// store(g, sum) for each group g of `group` codes, the last possibly short.
  template <class Store>
  static HWY_INLINE void Groups(const std::int8_t* codes, std::size_t n, std::size_t group,
                                Store store) {
    std::size_t g = 0;
#if !QOMPOSE_PLAIN_TARGET
    // Short groups are added up four at a time, as most of the work is what comes after the sums
    // of eight.
    if (group % 16 == 0 && group <= kShort) {
      for (; (g + 4) * group <= n; g += 4) Four(codes + g * group, group, g, store);
    }
#endif
    for (std::size_t first = g * group; first < n; first += group, ++g) {
      store(g, One(codes + first, std::min(group, n - first)));
    }
  }

  static HWY_INLINE std::int32_t One(const std::int8_t* codes, std::size_t n) {
    std::size_t i = 0;
    std::int32_t sum = 0;
#if !QOMPOSE_PLAIN_TARGET
    using Sums = hn::Repartition<std::uint64_t, DU8>;
    if (n >= 4 * N) {
      hn::Vec<Sums> total[4];
      Unroll<4>([&](auto j) QOMPOSE_FLATTEN { total[j] = hn::Zero(Sums()); });
      const auto take = [&](auto j, std::size_t at) QOMPOSE_FLATTEN {
        total[j] = hn::Add(total[j], OfEight(DU8(), codes + at));
      };
      for (; i + 16 * N <= n; i += 16 * N) {
        Unroll<4>([&](auto j) QOMPOSE_FLATTEN { take(j, i + j * 4 * N); });
      }
      for (; i + 4 * N <= n; i += 4 * N) take(std::integral_constant<std::size_t, 0>(), i);
      const auto all = hn::Add(hn::Add(total[0], total[1]), hn::Add(total[2], total[3]));
      sum = static_cast<std::int32_t>(hn::GetLane(hn::SumOfLanes(Sums(), all))) -
            kRaise * static_cast<std::int32_t>(i);
    }
#endif
    for (; i < n; ++i) sum += codes[i];
    return sum;
  }

 private:
#if !QOMPOSE_PLAIN_TARGET
  template <class Store>
  static HWY_INLINE void Four(const std::int8_t* codes, std::size_t group, std::size_t g,
                              Store store) {
    hn::Vec<DS> sums[4];
    Unroll<4>([&](auto j) QOMPOSE_FLATTEN { sums[j] = OfEight(DB(), codes + j * group); });
    for (std::size_t i = 16; i < group; i += 16) {
      Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
        sums[j] = hn::Add(sums[j], OfEight(DB(), codes + j * group + i));
      });
    }
    const auto both = [&](auto a, auto b) QOMPOSE_FLATTEN {
      return hn::BitCast(DW(),
                         hn::Add(hn::InterleaveLower(DS(), a, b), hn::InterleaveUpper(DS(), a, b)));
    };
    const auto raised = hn::ConcatEven(DW(), both(sums[2], sums[3]), both(sums[0], sums[1]));
    alignas(16) std::int32_t out[4];
    hn::Store(hn::Sub(raised, hn::Set(DW(), kRaise * static_cast<std::int32_t>(group))), DW(), out);
    for (std::size_t j = 0; j < 4; ++j) store(g + j, out[j]);
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle

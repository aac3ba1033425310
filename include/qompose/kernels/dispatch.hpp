// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Picks the kernels of the best instruction set that the processor has.

#include <hwy/targets.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/kernels/targets.hpp"

namespace qompose {
namespace detail {

/// The processor's targets once known, 0 before. Data alone, so translation units may share it.
inline constinit std::atomic<std::int64_t> processor_targets{0};

inline namespace QOMPOSE_ISA {

/// The targets this translation unit is compiled for. A member function that reaches a kernel
/// carries this type as a defaulted template parameter, so that its name tells translation units
/// with other flags or targets apart.
template <std::int64_t kMask>
struct isa {
  static constexpr std::int64_t targets = kMask;
};

/// Targets that both the translation unit and the processor have.
template <std::int64_t kMask>
[[nodiscard]] HWY_INLINE std::int64_t available_targets() {
  if constexpr ((kMask & (kMask - 1)) == 0) {
    return kMask;  // one target: no need for Highway's library
  } else {
#if (HWY_TARGETS & (HWY_TARGETS - 1)) != 0
    std::int64_t targets = processor_targets.load(std::memory_order_relaxed);
    if (HWY_UNLIKELY(targets == 0)) {
      // Asking the processor takes microseconds, tens of them in a virtual machine.
      targets = hwy::SupportedTargets();
      processor_targets.store(targets, std::memory_order_relaxed);
    }
    return (targets & kMask) | HWY_STATIC_TARGET;
#else
    return kMask;
#endif
  }
}

/// f.template operator()<Target<T>>() for the target of one bit.
template <std::int64_t kMask, class F>
HWY_INLINE auto with_target(std::int64_t target, F&& f) {
  constexpr std::int64_t lowest = kMask & -kMask;
  if constexpr (kMask == lowest) {
    return f.template operator()<Target<lowest>>();
  } else {
    if (target == lowest) return f.template operator()<Target<lowest>>();
    return with_target<(kMask & (kMask - 1))>(target, f);
  }
}

/// The same for the best target; lower bits are better.
template <class Isa, class F>
HWY_INLINE auto with_best_target(F&& f) {
  const std::int64_t targets = available_targets<Isa::targets>();
  return with_target<Isa::targets>(targets & -targets, f);
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// The set of instruction sets of this translation unit; see @ref detail::isa.
using isa_tag = detail::isa<HWY_TARGETS>;

/// Calls f.template operator()<Target>() for every compiled target that the processor has, for
/// tests: `Target::name()`, `Target::integer_matmul<...>` and so on.
template <class F, std::int64_t kMask = HWY_TARGETS>
void for_each_target(F&& f) {
  std::int64_t targets = detail::available_targets<kMask>();
  for (; targets != 0; targets &= targets - 1) {
    detail::with_target<kMask>(targets & -targets, f);
  }
}

/// Name of the instruction set that calls use here, such as "AVX2".
template <class Isa = isa_tag>
[[nodiscard]] const char* target_name() {
  return detail::with_best_target<Isa>([]<class Target>() { return Target::name(); });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

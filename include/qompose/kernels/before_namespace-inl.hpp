// SPDX-License-Identifier: Apache-2.0
// No guard: follows HWY_TARGET.

/// @file
/// @brief Per-target attributes, with what Highway's own macro gets wrong put right.

#include <hwy/highway.h>

#undef QOMPOSE_BEFORE_NAMESPACE
#undef QOMPOSE_AFTER_NAMESPACE
#undef QOMPOSE_PLAIN_TARGET

#if HWY_ARCH_X86 && HWY_TARGET == HWY_AVX3_DL && HWY_MAJOR == 1 && HWY_MINOR == 0 && \
    defined(HWY_TARGET_STR)
// Highway 1.0 lists "avxvnni" where it means "avx512vnni".
#define QOMPOSE_BEFORE_NAMESPACE()                  \
  HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni") \
  static_assert(true, "takes the caller's semicolon")
#else
#define QOMPOSE_BEFORE_NAMESPACE() HWY_BEFORE_NAMESPACE()
#endif
#define QOMPOSE_AFTER_NAMESPACE() HWY_AFTER_NAMESPACE()

// Targets without the byte instructions that the dot products are made of.
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || \
    (defined(HWY_SSE2) && HWY_TARGET == HWY_SSE2)
#define QOMPOSE_PLAIN_TARGET 1
#else
#define QOMPOSE_PLAIN_TARGET 0
#endif

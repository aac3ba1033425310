// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which instruction sets a translation unit is compiled for.
///
/// Must come before the first Highway header of a translation unit, or `HWY_WANT_AVX3_DL` must be
/// defined on the command line (the CMake target does).
///
/// Defaults: the compiler's baseline, SSE4, AVX2 and AVX-512 with VNNI, NEON. A project (never one
/// translation unit of it) may define `HWY_DISABLED_TARGETS` to choose others,
/// `QOMPOSE_ALL_TARGETS` for all that Highway has and these kernels fit, or
/// `QOMPOSE_STATIC_DISPATCH` for the compiler flags' target alone, without Highway's library.

#if !defined(HWY_WANT_AVX3_DL)
#if defined(HIGHWAY_HWY_DETECT_TARGETS_H_)
#define QOMPOSE_HIGHWAY_CAME_FIRST 1
#else
// Highway 1.0 leaves VNNI out of the run-time targets otherwise.
#define HWY_WANT_AVX3_DL 1
#endif
#endif

#if defined(QOMPOSE_STATIC_DISPATCH) && !defined(HWY_COMPILE_ONLY_STATIC)
#define HWY_COMPILE_ONLY_STATIC 1
#endif

// Names that some Highway versions lack stand for no target. The macro below is expanded lazily,
// so it may use names that Highway defines later.
#define QOMPOSE_TARGET_AVX3_ZEN4 0
#define QOMPOSE_TARGET_AVX3_SPR 0
#define QOMPOSE_TARGET_AVX10_2 0
// Arrays of vectors rule out targets whose vectors have no size.
#define QOMPOSE_SIZELESS_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#if !defined(HWY_DISABLED_TARGETS)
#if defined(QOMPOSE_ALL_TARGETS)
#define HWY_DISABLED_TARGETS QOMPOSE_SIZELESS_TARGETS
#else
#define HWY_DISABLED_TARGETS                                                    \
  (QOMPOSE_SIZELESS_TARGETS | HWY_SSSE3 | HWY_AVX3 | QOMPOSE_TARGET_AVX3_ZEN4 | \
   QOMPOSE_TARGET_AVX3_SPR | QOMPOSE_TARGET_AVX10_2)
#endif
#endif

#include <hwy/base.h>

#if HWY_MAJOR > 1 || HWY_MINOR >= 1
#undef QOMPOSE_TARGET_AVX3_ZEN4
#define QOMPOSE_TARGET_AVX3_ZEN4 HWY_AVX3_ZEN4
#undef QOMPOSE_TARGET_AVX3_SPR
#define QOMPOSE_TARGET_AVX3_SPR HWY_AVX3_SPR
#endif
#if HWY_MAJOR > 1 || HWY_MINOR >= 3
#undef QOMPOSE_TARGET_AVX10_2
#define QOMPOSE_TARGET_AVX10_2 HWY_AVX10_2
#endif

// Highway 1.0, whose base.h names no version, takes flags for AVX-512 with VNNI (Ice Lake, Zen 4)
// for mere AVX2 unless they have AVX-VNNI as well.
#if HWY_ARCH_X86 && HWY_MAJOR <= 1 && HWY_MINOR == 0 && !defined(HWY_BASELINE_TARGETS) &&       \
    defined(__AVX512VNNI__) && defined(__AVX512VBMI__) && defined(__AVX512VBMI2__) &&           \
    defined(__AVX512BITALG__) && defined(__AVX512VPOPCNTDQ__) && defined(__VPCLMULQDQ__) &&     \
    defined(__VAES__) && defined(__GFNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__) && defined(__F16C__) && defined(__FMA__) && defined(__BMI2__)
#define HWY_BASELINE_TARGETS (HWY_BASELINE_AVX2 | HWY_AVX3_DL)
#endif

#include <hwy/detect_targets.h>

#if defined(QOMPOSE_HIGHWAY_CAME_FIRST) && HWY_ARCH_X86 && !(HWY_TARGETS & HWY_AVX3_DL) && \
    !defined(HWY_COMPILE_ONLY_STATIC)
#pragma message( \
    "qompose: Highway was included first, so VNNI kernels are off here; include qompose first or define HWY_WANT_AVX3_DL")
#endif

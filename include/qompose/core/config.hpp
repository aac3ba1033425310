// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The macros that keep translation units with different instruction sets apart.
///
/// A program may mix translation units built with different `-m` flags. An inline function that
/// both of them emit under one name would be merged by the linker, and the copy kept could hold
/// instructions that the processor lacks. Hence two rules: free functions live in
/// `inline namespace QOMPOSE_ISA`, whose name spells the flags, and member functions of the
/// (untagged) data types are `QOMPOSE_INLINE`, so that no copy of them exists to be merged.

/// Inlined at every optimization level; see the file comment for why.
#define QOMPOSE_INLINE [[gnu::always_inline]] inline

/// Inlined lambda bodies and constructors that are already implicitly inline.
#define QOMPOSE_FLATTEN __attribute__((always_inline))

#if defined(QOMPOSE_STATIC_DISPATCH)
#define QOMPOSE_ISA_DISPATCH 1
#else
#define QOMPOSE_ISA_DISPATCH 0
#endif
#if defined(__SSE4_2__)
#define QOMPOSE_ISA_SSE4 1
#else
#define QOMPOSE_ISA_SSE4 0
#endif
#if defined(__AVX__)
#define QOMPOSE_ISA_AVX 1
#else
#define QOMPOSE_ISA_AVX 0
#endif
#if defined(__AVX2__)
#define QOMPOSE_ISA_AVX2 1
#else
#define QOMPOSE_ISA_AVX2 0
#endif
#if defined(__FMA__)
#define QOMPOSE_ISA_FMA 1
#else
#define QOMPOSE_ISA_FMA 0
#endif
#if defined(__AVX512F__)
#define QOMPOSE_ISA_AVX512 1
#else
#define QOMPOSE_ISA_AVX512 0
#endif
#if defined(__AVX512VNNI__)
#define QOMPOSE_ISA_VNNI 1
#else
#define QOMPOSE_ISA_VNNI 0
#endif
#if defined(__AVX512FP16__)
#define QOMPOSE_ISA_FP16 1
#else
#define QOMPOSE_ISA_FP16 0
#endif
#if defined(__ARM_FEATURE_DOTPROD)
#define QOMPOSE_ISA_DOTPROD 1
#else
#define QOMPOSE_ISA_DOTPROD 0
#endif
#if defined(__FAST_MATH__)
#define QOMPOSE_ISA_FAST_MATH 1
#else
#define QOMPOSE_ISA_FAST_MATH 0
#endif

#define QOMPOSE_ISA_PASTE_(a, b, c, d, e, f, g, h, i, j) isa_##a##b##c##d##e##f##g##h##i##j
#define QOMPOSE_ISA_PASTE(a, b, c, d, e, f, g, h, i, j) \
  QOMPOSE_ISA_PASTE_(a, b, c, d, e, f, g, h, i, j)

/// Name of the inline namespace that holds every free function of this translation unit.
#define QOMPOSE_ISA                                                                            \
  QOMPOSE_ISA_PASTE(QOMPOSE_ISA_DISPATCH, QOMPOSE_ISA_SSE4, QOMPOSE_ISA_AVX, QOMPOSE_ISA_AVX2, \
                    QOMPOSE_ISA_FMA, QOMPOSE_ISA_AVX512, QOMPOSE_ISA_VNNI, QOMPOSE_ISA_FP16,   \
                    QOMPOSE_ISA_DOTPROD, QOMPOSE_ISA_FAST_MATH)

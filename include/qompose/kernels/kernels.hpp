// SPDX-License-Identifier: Apache-2.0
// No #pragma once: a translation unit with a foreach_target loop of its own includes this once per
// target.

/// @file
/// @brief The one way to the kernels: compiles them for every target, then the dispatcher.
///
/// A translation unit that uses `hwy/foreach_target.h` itself must include it before any qompose
/// header with kernels.

#include "qompose/kernels/targets.hpp"

#if !defined(HIGHWAY_HWY_FOREACH_TARGET_H_)
#pragma push_macro("HWY_TARGET_INCLUDE")
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "qompose/kernels/kernels-inl.hpp"
#include <hwy/foreach_target.h>
#pragma pop_macro("HWY_TARGET_INCLUDE")
#endif

#include "qompose/kernels/kernels-inl.hpp"

#if HWY_ONCE
#include "qompose/kernels/dispatch.hpp"
#endif

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One include for Catch2 2.13 and 3.x.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

/// Ends the test case here and says why; scripts/test repeats the reason at its end.
#define QOMPOSE_SKIP(reason)       \
  do {                             \
    WARN("skipped: " << (reason)); \
    return;                        \
  } while (false)

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The xtensor headers that the offline world uses, wherever a version keeps them.

#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/core/xmath.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#endif

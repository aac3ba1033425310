// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The alphabet: formats, granularities, slots, recipes, their bits. No Highway, no data.

#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/version.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_tensor.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/fit.hpp"
#include "qompose/recipe/presets.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/recipe/recipe.hpp"
#include "qompose/transforms/block_hadamard.hpp"

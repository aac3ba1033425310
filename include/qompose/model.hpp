// SPDX-License-Identifier: Apache-2.0
// No #pragma once: a translation unit with a foreach_target loop of its own includes this once per
// target.

/// @file
/// @brief Layers, file readers, tokenizers and the reference decoder. No xtensor.

#include "qompose/qompose.hpp"

#if HWY_ONCE
#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/generate.hpp"
#include "qompose/decoder/load_model.hpp"
#include "qompose/decoder/perplexity.hpp"
#include "qompose/decoder/rebalance.hpp"
#include "qompose/decoder/sampling.hpp"
#include "qompose/decoder/with_cache.hpp"
#include "qompose/io/cache_file.hpp"
#include "qompose/io/layer_file.hpp"
#include "qompose/io/matrix_file.hpp"
#include "qompose/io/tokenizer.hpp"
#endif

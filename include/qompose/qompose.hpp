// SPDX-License-Identifier: Apache-2.0
// No #pragma once: a translation unit with a foreach_target loop of its own includes this once per
// target.

/// @file
/// @brief Types, kernels and layers. Needs Highway, never xtensor.

#include "qompose/types.hpp"

#include "qompose/kernels/kernels.hpp"

#if HWY_ONCE
#include "qompose/nn/activation_statistics.hpp"
#include "qompose/nn/any_cache.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/nn/conv2d.hpp"
#include "qompose/nn/elementwise.hpp"
#include "qompose/nn/integer_linear.hpp"
#include "qompose/nn/kv_cache.hpp"
#include "qompose/nn/latent_attention.hpp"
#include "qompose/nn/latent_cache.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/nn/rope.hpp"
#include "qompose/quantize/affine.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/fake_quantize.hpp"
#include "qompose/quantize/quantize.hpp"
#endif

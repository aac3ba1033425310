// SPDX-License-Identifier: Apache-2.0
// expect: qompose: paged: the tokens of a block are no multiple of 16

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::layout<qp::paged<24>>;
using use = wrong::policy;
constexpr auto tokens = use::block_tokens;

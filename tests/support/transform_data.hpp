// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Data for any transform, seeded where it does not follow from the length of the rows.

#include <cmath>
#include <cstddef>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/transforms/channel_scale.hpp"
#include "qompose/transforms/then.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose_tests {

template <class Transform>
struct data_of {
  static typename Transform::data make(std::size_t n) {
    return qompose::detail::transform_data_for<Transform>(n);
  }
};

/// Factors from 1/4 to 4.
template <>
struct data_of<qompose::channel_scale> {
  static qompose::channel_scale::data make(std::size_t n) {
    qompose::random_source random(n);
    std::vector<float> factors(n);
    for (float& f : factors) f = static_cast<float>(std::exp2(4.0 * random.uniform() - 2.0));
    return qompose::channel_scale::data(factors);
  }
};

template <class A, class B>
struct data_of<qompose::then<A, B>> {
  static typename qompose::then<A, B>::data make(std::size_t n) {
    return {data_of<A>::make(n), data_of<B>::make(n)};
  }
};

/// The data of a transform of rows of n elements.
template <class Transform>
typename Transform::data some_data(std::size_t n) {
  return data_of<Transform>::make(n);
}

}  // namespace qompose_tests

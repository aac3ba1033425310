// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a linear layer must give, from its stored codes, and how far a result may be off.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/nn/linear.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/slow_quantize.hpp"

namespace qompose_tests {

/// Results in double, with a bound on the error of each.
struct expected_products {
  std::vector<double> y;
  std::vector<double> bound;
};

/// A stored matrix, decoded once: value = scale * code + offset.
struct decoded_weights {
  template <class Spec>
  explicit decoded_weights(const qompose::quantized_matrix<Spec>& q)
      : rows(q.rows()), cols(q.cols()) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        if constexpr (has_decode<Spec>) {
          group_cols = q.group_cols();
          codes.push_back(Spec::element::decode(q.code(r, c)));
          scales.push_back(q.scale(r, c));
          offsets.push_back(q.offset(r, c));
        } else {
          group_cols = cols;
          codes.push_back(q.value(r, c));
          scales.push_back(1.0f);
          offsets.push_back(0.0f);
        }
      }
    }
  }
  /// Codebooks are looked up by the matrix itself.
  template <class Spec>
  static constexpr bool has_decode = [] {
    if constexpr (qompose::quant_spec<Spec>) {
      return !qompose::learned_format<typename Spec::element>;
    } else {
      return false;
    }
  }();
  std::size_t rows;
  std::size_t cols;
  std::size_t group_cols = 1;
  std::vector<float> codes;
  std::vector<float> scales;
  std::vector<float> offsets;
};

/// Codes of one row of activations and the scale of each: nearest even after a true division.
struct activation_codes {
  /// @param group   columns that share a scale
  /// @param stored  these scales; empty where rows find theirs
  activation_codes(std::span<const float> row, int max_code, std::size_t group,
                   std::span<const float> stored = {}) {
    for (std::size_t first = 0; first < row.size(); first += group) {
      const auto part = row.subspan(first, std::min(group, row.size() - first));
      float peak = 0.0f;
      for (const float x : part) peak = std::max(peak, std::abs(x));
      float scale = peak / static_cast<float>(max_code);
      if (!(scale > 0.0f)) scale = 1.0f;
      if (!stored.empty()) scale = stored[first / group];
      for (const float x : part) {
        const auto most = static_cast<float>(max_code);
        codes.push_back(static_cast<int>(std::clamp(std::nearbyint(x / scale), -most, most)));
        scales.push_back(scale);
      }
    }
  }
  std::vector<int> codes;
  std::vector<float> scales;
};

/// The rows of x after the recipe's transform, by its scalar reference.
template <class Transform>
matrix transformed(const matrix& x) {
  matrix out = x;
  for (std::size_t r = 0; r < x.rows(); ++r) {
    Transform::forward(typename Transform::data(), out.view().row(r), x.cols());
  }
  return out;
}

/// The integer path. Sums of codes are exact; with one scale a row and a token and no offset the
/// result is float(acc) * (s_w * s_x) to the last bit and the bound 0. Otherwise each of the groups
/// takes at most three steps, each wrong by 2^-24 of the running sum, and a few steps follow:
/// (groups + 2) 2^-23 of the sum of magnitudes.
template <class Layer>
expected_products integer_products(const decoded_weights& w, const matrix& x,
                                   std::span<const float> stored) {
  using codes_type = qompose::detail::code_activations<typename Layer::activation_spec,
                                                       typename Layer::activation_when>;
  constexpr bool has_offset = Layer::layout::has_offset;
  const std::size_t code_cols =
      codes_type::group == 0 ? std::max<std::size_t>(w.cols, 1) : codes_type::group;
  expected_products expected;
  const std::size_t group_cols = std::min(w.group_cols, code_cols);
  const std::size_t groups = w.cols == 0 ? 0 : (w.cols + group_cols - 1) / group_cols;
  const bool is_exact = groups == 1 && codes_type::group == 0 && !has_offset;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    const activation_codes a({x.view().row(t), x.cols()}, codes_type::format::max_code, code_cols,
                             stored);
    for (std::size_t r = 0; r < w.rows; ++r) {
      double sum = 0.0;
      double magnitude = 0.0;
      float exact = 0.0f;
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t first = g * group_cols;
        const std::size_t last = std::min(first + group_cols, w.cols);
        double acc = 0.0;  // of integers times one power of two, so exact
        double codes = 0.0;
        for (std::size_t c = first; c < last; ++c) {
          acc += static_cast<double>(w.codes[r * w.cols + c]) * a.codes[c];
          codes += a.codes[c];
        }
        const float scale = w.scales[r * w.cols + first];
        exact = static_cast<float>(acc) * (scale * a.scales[first]);
        const auto x_scale = static_cast<double>(a.scales[first]);
        const double product = static_cast<double>(scale) * acc * x_scale;
        const double offset = static_cast<double>(w.offsets[r * w.cols + first]) * codes * x_scale;
        sum += product + offset;
        magnitude += std::abs(product) + std::abs(offset);
      }
      expected.y.push_back(is_exact ? static_cast<double>(exact) : sum);
      expected.bound.push_back(
          is_exact ? 0.0 : (static_cast<double>(groups) + 2.0) * 0x1p-23 * magnitude);
    }
  }
  return expected;
}

/// The float path. Each of n terms meets a product and a sum, fused or not, and the scale, the
/// offset and the sums of chains and groups a few more, each wrong by 2^-24 of at most the sum of
/// magnitudes: (2 n + 16) 2^-24.
inline double float_steps(const decoded_weights& w) {
  return 2.0 * static_cast<double>(w.cols) + 16.0;
}
/// The integer path where activations are integers of other formats: as in integer_products, of the
/// sum of magnitudes; the reference rounds them to floats, one step more for each.
inline double integer_steps(const decoded_weights& w, std::size_t code_cols) {
  const std::size_t group_cols = std::min(w.group_cols, code_cols == 0 ? w.cols : code_cols);
  const std::size_t groups = w.cols == 0 ? 0 : (w.cols + group_cols - 1) / group_cols;
  return 2.0 * static_cast<double>(groups) + 6.0;
}

/// Products in double of the rounded rows of x.
/// @param steps  how many errors of 2^-24 of the sum of magnitudes a result may have
inline expected_products float_products(const decoded_weights& w, const matrix& x, double steps) {
  expected_products expected;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    for (std::size_t r = 0; r < w.rows; ++r) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (std::size_t c = 0; c < w.cols; ++c) {
        const std::size_t at = r * w.cols + c;
        const double product = static_cast<double>(w.scales[at]) * static_cast<double>(w.codes[at]);
        const auto offset = static_cast<double>(w.offsets[at]);
        const auto xs = static_cast<double>(x(t, c));
        sum += (product + offset) * xs;
        magnitude += (std::abs(product) + std::abs(offset)) * std::abs(xs);
      }
      expected.y.push_back(sum);
      expected.bound.push_back(steps * 0x1p-24 * magnitude);
    }
  }
  return expected;
}

/// The same on the float path.
inline expected_products float_products(const decoded_weights& w, const matrix& x) {
  return float_products(w, x, float_steps(w));
}

/// The values of `x` after storing them as `Spec` with these scales, one for each group of columns.
template <class Spec>
matrix slow_values_by(const matrix& x, std::span<const float> scales) {
  using element = typename Spec::element;
  matrix out = x;
  for (std::size_t r = 0; r < x.rows(); ++r) {
    for (std::size_t c = 0; c < x.cols(); ++c) {
      const float scale = scales[c / Spec::granularity_type::group_cols(x.cols())];
      const float steps = std::clamp(x(r, c) / scale, -element::max_finite, element::max_finite);
      out(r, c) = scale * nearest_value<element>(steps);
    }
  }
  return out;
}

/// Whether activations become integers by way of the codes of their spec.
template <class Layer>
inline constexpr bool makes_image_codes = [] {
  if constexpr (Layer::uses_integers) {
    using codes = qompose::detail::code_activations<typename Layer::activation_spec,
                                                    typename Layer::activation_when>;
    return requires { codes::format::finds_all_scales; };
  } else {
    return false;
  }
}();

/// What `layer` must give for x, bias not added.
template <class Recipe>
expected_products expected_of(const qompose::linear<Recipe>& layer, const matrix& x) {
  using type = qompose::linear<Recipe>;
  const decoded_weights w(layer.quantized());
  const matrix rows = transformed<typename type::transform_type>(x);
  if constexpr (makes_image_codes<type>) {
    using codes_type = qompose::detail::code_activations<typename type::activation_spec>;
    return float_products(w, slow_values<typename type::activation_spec>(rows),
                          integer_steps(w, codes_type::group));
  } else if constexpr (type::uses_integers) {
    return integer_products<type>(w, rows, layer.activation_scales());
  } else if constexpr (qompose::is_calibrated<typename type::recipe_type>) {
    return float_products(
        w, slow_values_by<typename type::activation_spec>(rows, layer.activation_scales()));
  } else {
    return float_products(w, slow_values<typename type::activation_spec>(rows));
  }
}

/// Runs `layer` on the target of `Isa`.
template <class Isa, class Recipe>
matrix run_on(const qompose::linear<Recipe>& layer, const matrix& x) {
  matrix y(x.rows(), layer.out_features(), std::numeric_limits<float>::quiet_NaN());
  qompose::workspace scratch;
  layer.template operator()<qompose::serial, Isa>(x.view(), y.view(), qompose::serial{}, scratch);
  return y;
}

/// Whether `faulty` is NaN in these rows and equals y in all others.
inline bool is_nan_only_in(std::initializer_list<std::size_t> rows, const matrix& faulty,
                           const matrix& y) {
  bool right = true;
  for (std::size_t t = 0; t < y.rows(); ++t) {
    const bool wants_nan = std::find(rows.begin(), rows.end(), t) != rows.end();
    for (std::size_t r = 0; r < y.cols(); ++r) {
      right = right && (wants_nan ? std::isnan(faulty(t, r)) : faulty(t, r) == y(t, r));
    }
  }
  return right;
}

/// Checks every element against its bound.
inline void check_products(const expected_products& expected, const matrix& y) {
  std::size_t wrong = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i < expected.y.size(); ++i) {
    const double error = std::abs(static_cast<double>(y.values()[i]) - expected.y[i]);
    if (!(error <= expected.bound[i]) && wrong++ == 0) first = i;
  }
  if (wrong > 0) {
    INFO("[" << first / y.cols() << ", " << first % y.cols() << "]: " << y.values()[first]
             << ", expected " << expected.y[first] << " +- " << expected.bound[first]);
    CHECK(wrong == 0);
  } else {
    SUCCEED();
  }
}

/// A shape of a product, [n, in] x [out, in].
struct product_shape {
  std::size_t n;
  std::size_t in;
  std::size_t out;
};

/// Checks a layer of random weights on every target that this program and the processor have.
template <class Recipe>
void check_on_each_target(const product_shape& s) {
  const matrix x = random_matrix(s.n, s.in, s.n + 1000 * s.in);
  const auto layer = qompose::compress<Recipe>(random_matrix(s.out, s.in, s.in + s.out).view());
  const expected_products expected = expected_of(layer, x);
  on_each_target([&]<class Isa>() {
    INFO("n " << s.n << ", in " << s.in << ", out " << s.out);
    check_products(expected, run_on<Isa>(layer, x));
  });
}

/// A few shapes of every kind: one of each, ragged groups and units, tiles, blocks and stretches.
inline constexpr product_shape few_shapes[] = {
    {1, 1, 1},    {1, 31, 17}, {1, 300, 130}, {2, 64, 33},   {3, 129, 16},
    {4, 513, 50}, {5, 32, 15}, {9, 700, 40},  {66, 200, 18}, {100, 1100, 33}};

/// Every short row length, every small batch and the borders of tiles, panels and stretches of
/// columns; pairs, not the full product.
inline std::vector<product_shape> product_shapes() {
  std::vector<product_shape> shapes;
  for (std::size_t in = 1; in <= 70; ++in) shapes.push_back({1 + in % 9, in, 17});
  for (const std::size_t n :
       {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 16u, 17u, 32u, 33u, 63u, 64u, 65u, 66u}) {
    shapes.push_back({n, 41, 33});
  }
  for (const std::size_t out : {1u, 15u, 16u, 17u, 33u, 64u, 65u, 130u}) {
    shapes.push_back({1, 40, out});
    shapes.push_back({3, 40, out});
  }
  for (const std::size_t in : {256u, 264u, 1000u, 1024u, 1033u, 2100u}) {
    shapes.push_back({1, in, 18});
    shapes.push_back({5, in, 18});
    shapes.push_back({40, in, 34});
  }
  return shapes;
}

}  // namespace qompose_tests

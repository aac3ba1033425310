// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "qompose/core/random.hpp"
#include "qompose/quantize/fit_group.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// An element format and what lies beside its scale: every way in which codes are made by vector.
template <class Element, class Zero>
struct codes_of {
  using element = Element;
  using zero = Zero;
};
using encodings =
    std::tuple<codes_of<qp::int8, qp::no_zero>, codes_of<qp::int4, qp::no_zero>,
               codes_of<qp::uint8, qp::minimum<qp::fp32>>, codes_of<qp::uint4, qp::zero<qp::uint4>>,
               codes_of<qp::fixed_point<8, 6>, qp::no_zero>, codes_of<qp::fp8_e4m3, qp::no_zero>,
               codes_of<qp::fp8_e5m2, qp::no_zero>, codes_of<qp::fp4_e2m1, qp::no_zero>,
               codes_of<qp::nf4, qp::no_zero>, codes_of<qp::fp16, qp::no_zero>,
               codes_of<qp::bf16, qp::no_zero>, codes_of<qp::ternary, qp::no_zero>>;

/// All lengths that end in every way within a few vectors of any target, and a long one.
std::vector<std::size_t> lengths() {
  std::vector<std::size_t> result;
  for (std::size_t n = 1; n <= 70; ++n) result.push_back(n);
  result.push_back(1000);
  return result;
}

/// Scales at both ends of float and in between; ties and values past the codes among the values.
const float scales[] = {1.0f, 0.037f, 3.0f, 0x1p-100f, 0x1p100f, 0x1p-140f, 1e-30f, 1e30f, 0.0f};

std::vector<float> values_for(float scale, std::size_t n) {
  const float unit = scale != 0.0f ? scale : 1.0f;
  std::vector<float> values = random_matrix(1, n, n).values();
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 5 == 1) values[i] = (static_cast<float>(i % 19) - 9.0f) / 2.0f;  // ties
    if (i % 11 == 3) values[i] *= 200.0f;                                    // past most codes
    if (i % 13 == 4) values[i] = i % 2 == 0 ? 0.0f : -0.0f;
    values[i] *= unit;
    if (!std::isfinite(values[i])) values[i] = unit;
  }
  return values;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("encode: makes the codes of the scalar definition on every target",
                        "[kernels][quantize]", encodings) {
  using element = typename TestType::element;
  using zero = typename TestType::zero;
  using code = typename element::storage_type;
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    int wrong = 0;
    for (const std::size_t n : lengths()) {
      for (const float scale : scales) {
        const std::vector<float> x = values_for(scale, n);
        const float offset = qp::is_zero_point<zero> ? 5.0f : qp::is_minimum<zero> ? -scale : 0.0f;
        for (const std::size_t group : {std::size_t{7}, std::size_t{32}, n}) {
          const std::size_t groups = qp::divide_up(n, group);
          const std::vector<float> all_scales(groups, scale);
          const std::vector<float> all_offsets(groups, offset);
          std::vector<qp::value_range> ranges(groups);
          Target::range_of::Groups(x.data(), n, group, false, ranges.data());
          for (const bool known : {false, true}) {
            std::vector<code> codes(n + 1, code{99});
            Target::template encode<element, zero>::Groups(
                x.data(), n, group, all_scales.data(), all_offsets.data(),
                known ? ranges.data() : nullptr, codes.data());
            for (std::size_t i = 0; i < n; ++i) {
              const code wanted =
                  scale == 0.0f ? element::encode(0.0f)
                                : qp::detail::encode_scaled<element, zero>(x[i], scale, offset);
              wrong += codes[i] != wanted;
            }
            wrong += codes[n] != code{99};
          }
        }
      }
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("encode: quotients by reciprocal are those of a division, for millions of pairs",
          "[kernels][quantize]") {
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    qp::random_source random(7);
    int wrong = 0;
    for (int round = 0; round < 500; ++round) {
      const float scale =
          static_cast<float>(random.normal()) * std::exp2(static_cast<float>(round % 60 - 30));
      std::vector<float> x(1024);
      for (std::size_t i = 0; i < x.size(); ++i) {
        // As near to a tie as floats come: the quotient decides which way it goes.
        const float tie = (static_cast<float>(random.bits() % 255) - 127.5f) * scale;
        x[i] = i % 3 == 0   ? std::nextafter(tie, 0.0f)
               : i % 3 == 1 ? tie
                            : std::nextafter(tie, infinity);
      }
      std::vector<std::int8_t> codes(x.size());
      Target::template encode<qp::int8, qp::no_zero>::Groups(x.data(), x.size(), x.size(), &scale,
                                                             nullptr, nullptr, codes.data());
      for (std::size_t i = 0; i < x.size(); ++i)
        wrong += codes[i] != qp::int8::encode(x[i] / scale);
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("encode: quotients next to ties, for scales next to short significands",
          "[kernels][quantize]") {
  // Scales for which a product with a reciprocal in two parts could err, and their neighbours.
  std::vector<float> scales_near;
  for (std::uint32_t step = 0; step < 128; step += 3) {
    for (std::uint32_t distance = 0; distance <= 20; ++distance) {
      const float scale =
          std::ldexp(static_cast<float>((1u << 23) + (step << 16) + distance - 10), -30);
      scales_near.push_back(step % 2 == 0 ? scale : -scale);
    }
  }
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    int wrong = 0;
    for (const float scale : scales_near) {
      std::vector<float> x;
      for (int steps = 0; steps < 256; ++steps) {
        float value = (static_cast<float>(steps) + 0.5f) * scale;
        for (int i = 0; i < 2; ++i) value = std::nextafter(value, 0.0f);
        for (int i = 0; i < 5; ++i) {
          x.push_back(value);
          value = std::nextafter(value, scale > 0.0f ? infinity : -infinity);
        }
      }
      const float no_minimum = 0.0f;
      const std::size_t n = x.size();
      std::vector<std::uint8_t> codes(n);
      using zero = qp::minimum<qp::fp32>;
      Target::template encode<qp::uint8, zero>::Groups(x.data(), n, n, &scale, &no_minimum, nullptr,
                                                       codes.data());
      for (std::size_t i = 0; i < n; ++i) wrong += codes[i] != qp::uint8::encode(x[i] / scale);
      std::vector<std::int8_t> small(n);
      Target::template encode<qp::int8, qp::no_zero>::Groups(x.data(), n, n, &scale, nullptr,
                                                             nullptr, small.data());
      for (std::size_t i = 0; i < n; ++i) wrong += small[i] != qp::int8::encode(x[i] / scale);
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("encode: integers saturate where a quotient is no float", "[kernels][quantize]") {
  constexpr float most = std::numeric_limits<float>::max();
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    for (const float scale : {0x1p-10f, 0x1.234568p-23f, 0x1.fedcbap-24f, 1e-30f}) {
      const std::vector<float> x{most, -most, most / 3, -most / 3, 0.0f};
      std::vector<std::int8_t> codes(x.size());
      Target::template encode<qp::int8, qp::no_zero>::Groups(x.data(), x.size(), x.size(), &scale,
                                                             nullptr, nullptr, codes.data());
      CHECK(codes == std::vector<std::int8_t>{127, -128, 127, -128, 0});
    }
  });
}

TEMPLATE_LIST_TEST_CASE("decode and pack: give back every code on every target",
                        "[kernels][quantize]", encodings) {
  using element = typename TestType::element;
  using zero = typename TestType::zero;
  using code = typename element::storage_type;
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    int wrong = 0;
    for (const std::size_t n : lengths()) {
      std::vector<code> codes(n);
      for (std::size_t i = 0; i < n; ++i) {
        codes[i] =
            element::encode(element::max_finite * (static_cast<float>(i % 41) - 20.0f) / 20.0f);
      }
      if constexpr (element::bits == 8 && !qp::integer_format<element>) {
        // All bytes, NaN and infinity among them.
        for (std::size_t i = 0; i < n; ++i) codes[i] = static_cast<code>(i + n);
      }
      std::vector<std::uint8_t> bytes(n * sizeof(code) + 1, 77);
      Target::template pack<element>::Store(codes.data(), n, bytes.data());
      const std::size_t size = (n * static_cast<std::size_t>(element::bits) + 7) / 8;
      wrong += bytes[size] != 77;
      qp::packed_codes<element> reference(1, n);
      for (std::size_t i = 0; i < n; ++i) reference.set(0, i, codes[i]);
      wrong += !std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size),
                           reference.data());
      std::vector<code> back(n + 1, code{1});
      Target::template pack<element>::Load(bytes.data(), n, back.data());
      wrong += !std::equal(codes.begin(), codes.end(), back.begin()) || back[n] != code{1};

      const float scale = 0.375f;
      const float offset = qp::is_zero_point<zero> ? 5.0f : qp::is_minimum<zero> ? -2.0f : 0.0f;
      std::vector<float> out(n + 1, 9.0f);
      Target::template decode<element, zero>::Groups(codes.data(), n, n, &scale, &offset,
                                                     out.data());
      for (std::size_t i = 0; i < n; ++i) {
        const float value = element::decode(codes[i]);
        // Three bits of scale and the few of a code leave no rounding in product or sum.
        const float wanted = qp::is_zero_point<zero> ? scale * (value - offset)
                             : qp::is_minimum<zero>  ? scale * value + offset
                                                     : scale * value;
        wrong += !(out[i] == wanted || (std::isnan(out[i]) && std::isnan(wanted)));
        wrong += !std::isnan(wanted) && std::signbit(out[i]) != std::signbit(wanted);
      }
      wrong += out[n] != 9.0f;
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("range_of: finds both ends, and whether all values are finite", "[kernels][quantize]") {
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    int wrong = 0;
    for (const std::size_t n : lengths()) {
      std::vector<float> x = random_matrix(1, n, n).values();
      for (float& value : x) value += n % 3 == 0 ? 5.0f : n % 3 == 1 ? -5.0f : 0.0f;
      const float lowest = *std::min_element(x.begin(), x.end());
      const float highest = *std::max_element(x.begin(), x.end());
      const float peak = std::max(std::abs(lowest), std::abs(highest));
      qp::value_range range;
      Target::range_of::Groups(x.data(), n, n, false, &range);
      wrong += range.lowest != lowest || range.highest != highest;
      Target::range_of::Groups(x.data(), n, n, true, &range);
      wrong += range.lowest != -peak || range.highest != peak;
      for (const float bad : {nan_value, -nan_value, infinity, -infinity}) {
        for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
          std::vector<float> poisoned = x;
          poisoned[at] = bad;
          for (const bool symmetric : {false, true}) {
            Target::range_of::Groups(poisoned.data(), n, n, symmetric, &range);
            wrong += !std::isnan(range.highest);
          }
        }
      }
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("encode_sorted: the nearest entry, the lower one at a tie, for any number of entries",
          "[kernels][quantize]") {
  qp::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    int wrong = 0;
    for (const std::size_t count : {2u, 3u, 16u, 32u, 33u, 256u}) {
      std::vector<float> entries = random_matrix(1, count, count).values();
      std::sort(entries.begin(), entries.end());
      std::vector<float> x = random_matrix(1, 300, 5).values();
      for (std::size_t i = 0; i + 1 < count && i < 100; ++i) {
        x[i] = 0.5f * (entries[i] + entries[i + 1]);
        x[i + 100] = std::nextafter(x[i], infinity);
      }
      std::vector<std::uint8_t> codes(x.size());
      Target::encode_sorted::Run(x.data(), x.size(), 1.0f, entries.data(), count, codes.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        std::size_t best = 0;
        for (std::size_t k = 1; k < count; ++k) {
          const auto distance = [&](std::size_t j) {
            return std::abs(static_cast<double>(x[i]) - static_cast<double>(entries[j]));
          };
          if (distance(k) < distance(best)) best = k;
        }
        wrong += codes[i] != best;
      }
    }
    CHECK(wrong == 0);
  });
}

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One metadata value of a GGUF file.

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {

/// A metadata value and the key it is filed under. Integers are widened to 64 bits, floats to
/// double, arrays of bool are arrays of 0 and 1.
struct gguf_value {
  std::string key;
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string, std::vector<std::uint64_t>,
               std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>>
      value;

  /// @throws qompose::file_error naming the key unless it is an integer >= 0
  [[nodiscard]] QOMPOSE_INLINE std::uint64_t as_uint() const {
    if (const auto* u = std::get_if<std::uint64_t>(&value)) return *u;
    const auto* i = std::get_if<std::int64_t>(&value);
    if (i == nullptr || *i < 0) refuse("an integer that is not negative");
    return static_cast<std::uint64_t>(*i);
  }
  /// @throws qompose::file_error naming the key unless it is a number
  [[nodiscard]] QOMPOSE_INLINE double as_double() const {
    if (const auto* d = std::get_if<double>(&value)) return *d;
    if (const auto* u = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*u);
    const auto* i = std::get_if<std::int64_t>(&value);
    if (i == nullptr) refuse("a number");
    return static_cast<double>(*i);
  }
  /// @throws qompose::file_error naming the key unless it is true or false
  [[nodiscard]] QOMPOSE_INLINE bool as_bool() const { return get<bool>("true or false"); }
  /// @throws qompose::file_error naming the key unless it is a string
  [[nodiscard]] QOMPOSE_INLINE const std::string& as_string() const {
    return get<std::string>("a string");
  }
  /// @throws qompose::file_error naming the key unless it is an array of strings
  [[nodiscard]] QOMPOSE_INLINE const std::vector<std::string>& strings() const {
    return get<std::vector<std::string>>("an array of strings");
  }
  /// @throws qompose::file_error naming the key unless it is an array of floats
  [[nodiscard]] QOMPOSE_INLINE const std::vector<double>& doubles() const {
    return get<std::vector<double>>("an array of floats");
  }
  /// A copy of an array of integers of any width.
  /// @throws qompose::file_error naming the key unless it is one and all fit 63 bits
  [[nodiscard]] QOMPOSE_INLINE std::vector<std::int64_t> integers() const {
    if (const auto* i = std::get_if<std::vector<std::int64_t>>(&value)) return *i;
    std::vector<std::int64_t> result;
    const auto& wide = get<std::vector<std::uint64_t>>("an array of integers");
    result.reserve(wide.size());
    for (const std::uint64_t u : wide) {
      if (u > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        refuse("integers of at most 63 bits");
      }
      result.push_back(static_cast<std::int64_t>(u));
    }
    return result;
  }

 private:
  [[noreturn]] QOMPOSE_INLINE void refuse(const char* wanted) const {
    throw file_error(key + ": has another kind of value, expected " + wanted);
  }
  template <class T>
  [[nodiscard]] QOMPOSE_INLINE const T& get(const char* wanted) const {
    const T* found = std::get_if<T>(&value);
    if (found == nullptr) refuse(wanted);
    return *found;
  }
};

}  // namespace qompose

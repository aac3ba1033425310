// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief JSON that a file holds, parsed with suspicion.

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/mapped_file.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Parses JSON; a key that appears twice in an object, or nesting deeper than 64, is an error.
/// @param text  UTF-8
/// @param what  names the text in messages
/// @throws qompose::file_error
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text, const std::string& what) {
  // The parser itself keeps the last of two equal keys, so the keys of every open object are
  // remembered here.
  std::vector<std::set<std::string>> open_objects;
  const auto inspect = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using event_t = nlohmann::json::parse_event_t;
    if (depth > 64) throw file_error(what + ": JSON is nested more than 64 deep");
    if (event == event_t::object_start) open_objects.emplace_back();
    if (event == event_t::object_end) open_objects.pop_back();
    if (event == event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second) {
        throw file_error(what + ": key " + key + " appears twice");
      }
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, inspect);
  } catch (const nlohmann::json::exception& e) {
    throw file_error(what + ": " + e.what());
  }
}

/// Parses a whole file.
/// @throws qompose::file_error
[[nodiscard]] inline nlohmann::json read_json(const std::filesystem::path& path) {
  const mapped_file file(path);
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  return parse_json({text, file.bytes().size()}, path.string());
}

/// Member `key` of an object; null if there is none or it is `null`.
[[nodiscard]] inline const nlohmann::json* find_member(const nlohmann::json& object,
                                                       const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Reads a case of the ONNX operator tests: a node with its attributes, inputs and outputs.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "qompose/formats/fp16.hpp"

namespace qompose_tests {

/// A tensor of any of the cases' types, as floats.
struct onnx_tensor {
  std::string dtype;
  std::vector<std::size_t> dims;
  std::vector<float> values;

  /// Product of dims [first, last).
  [[nodiscard]] std::size_t count(std::size_t first, std::size_t last) const {
    std::size_t n = 1;
    for (std::size_t i = first; i < last; ++i) n *= dims.at(i);
    return n;
  }
  /// An axis counted from the front, given one that may count from the end.
  [[nodiscard]] std::size_t axis(double given) const {
    return static_cast<std::size_t>(given < 0.0 ? given + static_cast<double>(dims.size()) : given);
  }
};

struct onnx_case {
  std::string name;
  std::string op;
  std::map<std::string, double> attributes;  ///< those that are numbers
  std::set<std::string> graphs;  ///< attributes that are graphs, which the files leave out
  std::map<std::string, onnx_tensor> inputs;
  std::map<std::string, onnx_tensor> outputs;

  [[nodiscard]] double attribute(const std::string& key, double otherwise) const {
    const auto found = attributes.find(key);
    return found == attributes.end() ? otherwise : found->second;
  }
  /// An optional input, or null.
  [[nodiscard]] const onnx_tensor* input(const std::string& key) const {
    const auto found = inputs.find(key);
    return found == inputs.end() ? nullptr : &found->second;
  }
};

inline std::vector<unsigned char> bytes_of_hex(const std::string& hex) {
  std::vector<unsigned char> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  }
  return bytes;
}

inline onnx_tensor read_onnx_tensor(const nlohmann::json& json) {
  onnx_tensor tensor;
  tensor.dtype = json.at("dtype").get<std::string>();
  tensor.dims = json.at("dims").get<std::vector<std::size_t>>();
  const std::vector<unsigned char> bytes = bytes_of_hex(json.at("raw_hex").get<std::string>());
  tensor.values.resize(tensor.count(0, tensor.dims.size()));
  const auto read_as = [&]<class T>(T, auto&& to_float) {
    if (bytes.size() != tensor.values.size() * sizeof(T)) {
      throw std::runtime_error("a tensor's bytes do not fit its dims");
    }
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
      T value;
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      tensor.values[i] = to_float(value);
    }
  };
  const auto cast = [](auto value) { return static_cast<float>(value); };
  if (tensor.dtype == "FLOAT") {
    read_as(float(), cast);
  } else if (tensor.dtype == "FLOAT16") {
    read_as(std::uint16_t(), [](std::uint16_t code) { return qompose::fp16::decode(code); });
  } else if (tensor.dtype == "DOUBLE") {
    read_as(double(), cast);
  } else if (tensor.dtype == "INT64") {
    read_as(std::int64_t(), cast);
  } else if (tensor.dtype == "BOOL") {
    read_as(std::uint8_t(), cast);
  } else {
    throw std::runtime_error("a tensor of type " + tensor.dtype);
  }
  return tensor;
}

inline onnx_case read_onnx_case(const std::filesystem::path& file) {
  std::ifstream stream(file);
  const nlohmann::json json = nlohmann::json::parse(stream);
  const nlohmann::json& nodes = json.at("model").at("nodes");
  if (nodes.size() != 1) throw std::runtime_error(file.string() + ": not one node");
  onnx_case result;
  result.name = file.stem().string();
  result.op = nodes[0].at("op").get<std::string>();
  for (const nlohmann::json& attribute : nodes[0].at("attrs")) {
    const auto key = attribute.at("name").get<std::string>();
    if (attribute.contains("graph")) {
      result.graphs.insert(key);
    } else if (!attribute.contains("s")) {
      result.attributes[key] = attribute.at(attribute.contains("i") ? "i" : "f").get<double>();
    }
  }
  for (const nlohmann::json& tensor : json.at("inputs")) {
    result.inputs[tensor.at("name").get<std::string>()] = read_onnx_tensor(tensor);
  }
  for (const nlohmann::json& tensor : json.at("outputs")) {
    result.outputs[tensor.at("name").get<std::string>()] = read_onnx_tensor(tensor);
  }
  return result;
}

}  // namespace qompose_tests

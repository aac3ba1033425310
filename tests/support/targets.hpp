// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The instruction sets that a test program was built for and that this machine runs.

#include <string>

namespace qompose_tests {

/// Names separated by blanks, best first; one name where dispatch is static.
std::string targets();

}  // namespace qompose_tests

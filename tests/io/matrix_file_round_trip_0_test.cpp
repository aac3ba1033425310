// SPDX-License-Identifier: Apache-2.0

#include "support/matrix_file_round_trip.hpp"

TEMPLATE_LIST_TEST_CASE("matrix_file: the first third of the catalogue comes back code for code",
                        "[io][matrix_file]", qompose_tests::catalogue_third<0>) {
  qompose_tests::check_matrix_file_round_trip<TestType>();
}

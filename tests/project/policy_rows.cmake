# SPDX-License-Identifier: Apache-2.0
cmake_minimum_required(VERSION 3.22)
# A policy has a row in tests/policy_lists.hpp and one in docs/policies.md; number formats and
# granularities have one in bench/policy_rows.cpp too.
#
# The policies of a header are the types that it asserts to satisfy their concept, as in
# `static_assert(number_format<fp16>);`; a header without such a line holds one named after the file.

set(slots formats granularity transforms sparsity low_rank outliers cache)
# Headers that state a slot's concept, or serve several policies, and hold none themselves.
set(exempt
    formats/number_format.hpp
    granularity/granularity.hpp
    transforms/transform.hpp
    transforms/walsh_hadamard.hpp
    transforms/hadamard_matrix.hpp
    sparsity/sparsity.hpp
    low_rank/low_rank.hpp
    outliers/outliers.hpp
    cache/cache_parts.hpp
    cache/side.hpp)

file(READ "${source}/tests/policy_lists.hpp" lists)
file(READ "${source}/docs/policies.md" table)
file(READ "${source}/bench/policy_rows.cpp" bench)
set(benched formats granularity)
set(wrong)

foreach(slot IN LISTS slots)
  file(GLOB headers RELATIVE "${source}/include/qompose" "${source}/include/qompose/${slot}/*.hpp")
  foreach(header IN LISTS headers)
    if(header IN_LIST exempt)
      continue()
    endif()
    file(READ "${source}/include/qompose/${header}" text)
    string(REGEX MATCHALL "\nstatic_assert\\([^;]*;" asserts "${text}")
    string(REGEX MATCHALL "([a-z]+_format|granularity|[a-z_]+_policy)<[a-z][a-z_0-9]*" policies "${asserts}")
    list(TRANSFORM policies REPLACE ".*<" "")
    if(NOT policies)
      get_filename_component(policies "${header}" NAME_WE)
    endif()
    foreach(policy IN LISTS policies)
      if(NOT lists MATCHES "[^a-z_0-9]${policy}[^a-z_0-9]")
        list(APPEND wrong "${header}: ${policy} has no row in tests/policy_lists.hpp")
      endif()
      if(NOT table MATCHES "\n[|] *`${policy}[^|]*` *[|]")
        list(APPEND wrong "${header}: ${policy} has no row in docs/policies.md")
      endif()
      if(slot IN_LIST benched AND NOT bench MATCHES "[^a-z_0-9]${policy}[^a-z_0-9]")
        list(APPEND wrong "${header}: ${policy} has no row in bench/policy_rows.cpp")
      endif()
    endforeach()
  endforeach()
endforeach()

if(wrong)
  list(JOIN wrong "\n  " wrong)
  message(FATAL_ERROR "Rows are missing:\n  ${wrong}")
endif()

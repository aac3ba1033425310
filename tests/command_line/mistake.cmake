# SPDX-License-Identifier: Apache-2.0
# Calls a program with an option out of range and prints what it says and how it ends.
execute_process(
  COMMAND "${program}" --rows 0
  OUTPUT_VARIABLE output
  ERROR_VARIABLE error
  RESULT_VARIABLE result)
if(NOT output STREQUAL "")
  message(FATAL_ERROR "printed to stdout: ${output}")
endif()
execute_process(COMMAND "${CMAKE_COMMAND}" -E echo_append "${error}ends with ${result}\n")

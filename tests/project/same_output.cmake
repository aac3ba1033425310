# SPDX-License-Identifier: Apache-2.0
cmake_minimum_required(VERSION 3.22)
# Runs `program` and compares what it prints with the file `expected`.

execute_process(COMMAND "${program}" OUTPUT_VARIABLE got RESULT_VARIABLE status)
file(READ "${expected}" wanted)
string(STRIP "${got}" got)
string(STRIP "${wanted}" wanted)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${program} failed: ${status}")
endif()
if(NOT got STREQUAL wanted)
  message(FATAL_ERROR "The output differs.\n--- expected\n${wanted}\n--- printed\n${got}")
endif()

# SPDX-License-Identifier: Apache-2.0
# Fails if a weak function that both object files define uses vector instructions of the newer
# processor in the newer one: the linker may keep that copy for both.
cmake_minimum_required(VERSION 3.22)

function(weak_functions object result)
  execute_process(COMMAND "${nm}" --defined-only "${object}" OUTPUT_VARIABLE output
                  COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL " [WV] [^\n]*" names "${output}")
  list(TRANSFORM names REPLACE "^ [WV] " "")
  set(${result} "${names}" PARENT_SCOPE)
endfunction()

weak_functions("${plain}" of_plain)
weak_functions("${newer}" of_newer)

# Only instructions of AVX and later have names that start with v; a line with a label opens a
# function.
execute_process(COMMAND "${objdump}" -d --no-show-raw-insn "${newer}" OUTPUT_VARIABLE code
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "<[^>\n]*>:|\tv[a-z]" marks "${code}")
set(function)
set(vectorized)
foreach(mark IN LISTS marks)
  if(mark MATCHES "^<(.*)>:$")
    set(function "${CMAKE_MATCH_1}")
  elseif(function)
    list(APPEND vectorized "${function}")
    set(function)
  endif()
endforeach()

set(shared)
foreach(name IN LISTS vectorized)
  if(name IN_LIST of_plain AND name IN_LIST of_newer)
    list(APPEND shared "${name}")
  endif()
endforeach()

list(LENGTH of_newer weak)
list(LENGTH vectorized count)
message(STATUS "${weak} weak functions, ${count} functions with newer instructions")
if(count EQUAL 0)
  message(FATAL_ERROR "No function uses the newer instructions: this test looks at nothing")
endif()
if(shared)
  list(LENGTH shared count)
  list(JOIN shared "\n  " shared)
  message(FATAL_ERROR "${count} functions are shared (c++filt tells their names):\n  ${shared}")
endif()

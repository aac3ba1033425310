# SPDX-License-Identifier: Apache-2.0
# One case of how compress_and_generate behaves for a person: `program`, `model` and `case` are set.
cmake_minimum_required(VERSION 3.22)

# run(<arguments>...): sets status, output and errors.
macro(run)
  execute_process(COMMAND "${program}" ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output
                  ERROR_VARIABLE errors)
endmacro()

function(fail why)
  message(FATAL_ERROR "${why}\nstatus ${status}\n--- output\n${output}\n--- errors\n${errors}")
endfunction()

function(expect_success)
  if(NOT status EQUAL 0)
    fail("exit status 0 expected")
  endif()
endfunction()

# A mistake: status 2, nothing on stdout, one line on stderr that names it.
function(expect_mistake what)
  if(NOT status EQUAL 2)
    fail("exit status 2 expected")
  endif()
  if(NOT output STREQUAL "" OR NOT errors MATCHES "^[^\n]*${what}[^\n]*\n$")
    fail("one line on stderr that says `${what}` expected")
  endif()
endfunction()

if(case STREQUAL help)
  run(--help)
  expect_success()
  foreach(option model tokenizer recipes prompt tokens temperature seed threads context text ids
                 score-from print-ids no-generate list csv)
    if(NOT output MATCHES "--${option}")
      fail("--help does not mention --${option}")
    endif()
  endforeach()

elseif(case STREQUAL list)
  run(--list)
  expect_success()
  foreach(recipe f32 w8a8)
    if(NOT output MATCHES "${recipe}[^\n]*[0-9]")
      fail("--list does not give ${recipe} and its bits")
    endif()
  endforeach()

elseif(case STREQUAL table)
  set(table "${CMAKE_CURRENT_BINARY_DIR}/command_line_table.csv")
  file(REMOVE "${table}")
  run(--model "${model}" --recipes "f32,w8a8" --no-generate --context 64 --threads 1 --csv "${table}")
  expect_success()
  file(STRINGS "${table}" rows)
  list(POP_FRONT rows head)
  foreach(column recipe bits_per_weight megabytes mean_nll perplexity prompt_tokens_per_second
                 generated_tokens_per_second)
    if(NOT ",${head}," MATCHES ",${column},")
      fail("no column ${column} in ${head}")
    endif()
  endforeach()
  list(LENGTH rows count)
  if(NOT count EQUAL 2 OR NOT "${rows}" MATCHES "f32,.*w8a8,")
    fail("two rows expected: ${rows}")
  endif()

elseif(case STREQUAL generate)
  # Greedy generation is the same every time and for every number of threads.
  set(arguments --model "${model}" --recipes w8a8 --prompt "Once upon" --tokens 12 --temperature 0
                --context 64 --print-ids)
  run(${arguments} --threads 1)
  expect_success()
  if(NOT output MATCHES "\n([0-9]+( [0-9]+)+)\n")
    fail("no line of token ids")
  endif()
  set(first "${CMAKE_MATCH_1}")
  run(${arguments} --threads 2)
  expect_success()
  string(FIND "${output}" "\n${first}\n" at)
  if(at EQUAL -1)
    fail("other token ids with two threads than ${first}")
  endif()

elseif(case STREQUAL unknown_recipe)
  run(--model "${model}" --recipes f32,w9a9)
  expect_mistake("w9a9")

elseif(case STREQUAL missing_file)
  run(--model no_such_model.gguf)
  expect_mistake("no_such_model[.]gguf")

elseif(case STREQUAL wrong_file)
  set(file "${CMAKE_CURRENT_BINARY_DIR}/wrong_model.gguf")
  file(WRITE "${file}" "this is no model, whatever its name says\n")
  run(--model "${file}")
  expect_mistake("wrong_model[.]gguf")

else()
  message(FATAL_ERROR "no case called ${case}")
endif()

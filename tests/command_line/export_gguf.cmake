# SPDX-License-Identifier: Apache-2.0
# One case of how export_gguf behaves for a person: `program`, `reader` (compress_and_generate),
# `model`, `folder` and `case` are set.
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
  if(NOT status EQUAL 0 OR NOT errors STREQUAL "")
    fail("exit status 0 and nothing on stderr expected")
  endif()
endfunction()

# A mistake: status 2, nothing on stdout, one line on stderr that names it, no file.
function(expect_mistake what)
  if(NOT status EQUAL 2)
    fail("exit status 2 expected")
  endif()
  if(NOT output STREQUAL "" OR NOT errors MATCHES "^[^\n]*${what}[^\n]*\n$")
    fail("one line on stderr that says `${what}` expected")
  endif()
  file(GLOB left "${folder}/*")
  if(left)
    fail("files are left: ${left}")
  endif()
endfunction()

file(REMOVE_RECURSE "${folder}")
file(MAKE_DIRECTORY "${folder}")
set(known_types f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0 mxfp4 nvfp4)

if(case STREQUAL help)
  run(--help)
  expect_success()
  foreach(word --type --threads "IN " OUT ${known_types})
    if(NOT output MATCHES "${word}")
      fail("--help does not mention ${word}")
    endif()
  endforeach()

elseif(case STREQUAL types)
  # Every type makes a model that can be read, the same for every number of threads.
  foreach(type IN LISTS known_types)
    run("${model}" "${folder}/${type}.gguf" --type ${type} --threads 1)
    expect_success()
    if(NOT output MATCHES "^[^\n]*${type}[.]gguf: [0-9]+ of [0-9]+ tensors as ${type}, [^\n]*bits per weight\n$")
      fail("one line with the result expected")
    endif()
    run("${model}" "${folder}/again.gguf" --type ${type} --threads 3)
    expect_success()
    file(SHA256 "${folder}/${type}.gguf" one)
    file(SHA256 "${folder}/again.gguf" three)
    if(NOT one STREQUAL three)
      fail("${type}: another file with 3 threads")
    endif()
    execute_process(
      COMMAND "${reader}" --model "${folder}/${type}.gguf" --recipes f32 --no-generate --context 64
      RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors)
    expect_success()
  endforeach()
  file(GLOB left "${folder}/*.part*")
  if(left)
    fail("files are left: ${left}")
  endif()

elseif(case STREQUAL unknown_type)
  run("${model}" "${folder}/out.gguf" --type q9_9)
  expect_mistake("q9_9")

elseif(case STREQUAL missing_file)
  run(no_such_model.gguf "${folder}/out.gguf")
  expect_mistake("no_such_model[.]gguf")

elseif(case STREQUAL missing_folder)
  run("${model}" "${folder}/absent/out.gguf")
  expect_mistake("absent/out[.]gguf")

elseif(case STREQUAL no_arguments)
  run()
  expect_mistake("IN")

else()
  message(FATAL_ERROR "no case called ${case}")
endif()

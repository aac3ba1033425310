# SPDX-License-Identifier: Apache-2.0
cmake_minimum_required(VERSION 3.22)
# What every file of this project keeps to: a licence line first, at most 600 lines, no tabs or
# trailing blanks, and no word that marks unfinished work.

set(code_folders include tests bench examples)
set(text_folders cmake scripts docs .ci)
set(licence "SPDX-License-Identifier: Apache-2[.]0")
set(most_lines 600)
set(wrong)

set(files)
foreach(folder IN LISTS code_folders text_folders)
  file(GLOB_RECURSE found LIST_DIRECTORIES false RELATIVE "${source}" "${source}/${folder}/*")
  list(APPEND files ${found})
endforeach()

foreach(file IN LISTS files)
  if(NOT file MATCHES "([.](hpp|cpp|cmake|sh|in)|CMakeLists[.]txt|^scripts/[a-z-]+|^[.]ci/run)$")
    continue()
  endif()
  file(READ "${source}/${file}" text)

  string(REGEX MATCH "^[^\n]*\n[^\n]*" head "${text}")
  string(REGEX REPLACE "\n.*" "" first "${head}")
  # A script's first line is its interpreter's; the licence is in the second.
  if(NOT first MATCHES "${licence}" AND NOT (first MATCHES "^#!" AND head MATCHES "${licence}"))
    list(APPEND wrong "${file}: the first line is not the SPDX line")
  endif()

  string(REGEX MATCHALL "\n" newlines "${text}")
  list(LENGTH newlines lines)
  if(lines GREATER most_lines)
    list(APPEND wrong "${file}: ${lines} lines, more than ${most_lines}; split it")
  endif()

  if(text MATCHES "[ \t]+\n")
    list(APPEND wrong "${file}: blanks at the end of a line")
  endif()
  if(text MATCHES "\t")
    list(APPEND wrong "${file}: a tab")
  endif()
  if(NOT text MATCHES "\n$")
    list(APPEND wrong "${file}: no newline at the end")
  endif()
  # Headers that Highway's loop includes once per target say so instead.
  if(file MATCHES "[.]hpp$" AND NOT text MATCHES "\n(#pragma once\n|// No (#pragma once|guard))" AND
     NOT text MATCHES "HWY_TARGET_TOGGLE")
    list(APPEND wrong "${file}: no #pragma once, and no comment that starts with `No #pragma once`")
  endif()
  if(file MATCHES "^include/" AND text MATCHES "(TO[D]O|FIX[M]E)")
    list(APPEND wrong "${file}: unfinished work (${CMAKE_MATCH_1})")
  endif()
endforeach()

if(wrong)
  list(JOIN wrong "\n  " wrong)
  message(FATAL_ERROR "Against the conventions:\n  ${wrong}")
endif()

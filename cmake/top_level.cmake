# SPDX-License-Identifier: Apache-2.0
# Defaults that only make sense when nobody includes us.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Kind of build" FORCE)
endif()

if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(QOMPOSE_CCACHE ccache)
  mark_as_advanced(QOMPOSE_CCACHE)
  if(QOMPOSE_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${QOMPOSE_CCACHE}")
  endif()
endif()

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

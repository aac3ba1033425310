# SPDX-License-Identifier: Apache-2.0
# What this project's own programs are built with; nothing here reaches a user's targets.

set(qompose_warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ 12 sees these in std::vector::insert at -O3, where nothing is wrong.
  list(APPEND qompose_warnings -Wno-stringop-overread -Wno-stringop-overflow)
endif()
if(QOMPOSE_WERROR)
  # A newer compiler brings warnings that nobody has looked at; they must not stop a user's tests.
  set(newest_GNU 14)
  set(newest_Clang 19)
  string(REGEX MATCH "^[0-9]+" major "${CMAKE_CXX_COMPILER_VERSION}")
  if(major LESS_EQUAL "${newest_${CMAKE_CXX_COMPILER_ID}}")
    list(APPEND qompose_warnings -Werror)
  else()
    message(STATUS "Warnings stay warnings: ${CMAKE_CXX_COMPILER_ID} ${major} is newer than this project")
  endif()
endif()

# Everyday tests are built for one target, because that compiles several times faster. Plain
# x86-64 means the one-lane target on g++ 12, and Highway 1.0.3 takes AVX2 only beside AES and
# CLMUL, hence these flags where the processor has them.
set(QOMPOSE_EVERYDAY_FLAGS "" CACHE STRING "Flags of the tests built for one target; empty: found out")
if(NOT QOMPOSE_EVERYDAY_FLAGS AND NOT CMAKE_CROSSCOMPILING)
  include(CheckCXXSourceRuns)
  set(CMAKE_REQUIRED_FLAGS "-march=x86-64-v3 -maes -mpclmul")
  check_cxx_source_runs(
    "int main() {
       __builtin_cpu_init();
       return __builtin_cpu_supports(\"avx2\") && __builtin_cpu_supports(\"fma\") &&
              __builtin_cpu_supports(\"bmi2\") && __builtin_cpu_supports(\"aes\") &&
              __builtin_cpu_supports(\"pclmul\") ? 0 : 1;
     }"
    QOMPOSE_CPU_RUNS_X86_64_V3)
  set(CMAKE_REQUIRED_FLAGS)
endif()
if(QOMPOSE_EVERYDAY_FLAGS)
  separate_arguments(qompose_everyday_flags UNIX_COMMAND "${QOMPOSE_EVERYDAY_FLAGS}")
elseif(QOMPOSE_CPU_RUNS_X86_64_V3)
  set(qompose_everyday_flags -march=x86-64-v3 -maes -mpclmul)
else()
  set(qompose_everyday_flags)
endif()

# qompose_own(<target>): warnings, and no compiler extensions.
function(qompose_own target)
  target_compile_options(${target} PRIVATE ${qompose_warnings})
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# qompose_link_openmp(<target>): OpenMP where the compiler has it.
find_package(OpenMP QUIET COMPONENTS CXX)
function(qompose_link_openmp target)
  if(TARGET OpenMP::OpenMP_CXX)
    target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX)
  endif()
endfunction()

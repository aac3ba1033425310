# SPDX-License-Identifier: Apache-2.0
# Every public header compiles on its own. The target `headers_alone` checks this with the project's
# compiler and is a test; `headers_alone_second` does so with clang++ where the project's is another
# one. Both check again only what changed.

file(GLOB_RECURSE headers RELATIVE "${PROJECT_SOURCE_DIR}/include" CONFIGURE_DEPENDS
     "${PROJECT_SOURCE_DIR}/include/*.hpp")
# Parts of kernels.hpp, which says in which order they go.
list(FILTER headers EXCLUDE REGEX "-inl[.]hpp$|kernels/dispatch[.]hpp$")
if(NOT TARGET qompose::model)
  list(FILTER headers EXCLUDE REGEX "qompose/(io/|decoder/|compress/|model[.]hpp|compress[.]hpp)")
endif()
if(NOT TARGET qompose::offline)
  list(FILTER headers EXCLUDE REGEX "qompose/(analysis/|calibrate/|compress/|offline[.]hpp|compress[.]hpp)")
endif()
find_package(TBB CONFIG QUIET)
if(NOT TARGET TBB::tbb)
  list(FILTER headers EXCLUDE REGEX "core/tbb[.]hpp")
endif()

# add_headers_alone(<target> <compiler>)
function(add_headers_alone target compiler)
  get_filename_component(compiler_name "${compiler}" NAME)
  set(stamps)
  foreach(header IN LISTS headers)
    string(REPLACE "/" "." name "${header}")
    set(probe "${CMAKE_CURRENT_BINARY_DIR}/alone/${name}.cpp")
    file(CONFIGURE OUTPUT "${probe}" CONTENT "#include \"${header}\"\n")
    set(flags ${qompose_warnings})
    list(FILTER flags EXCLUDE REGEX "^-Wno-")  # each compiler has its own
    set(flags -std=c++20 -fsyntax-only ${flags} -DHWY_WANT_AVX3_DL=1
              -DQOMPOSE_STATIC_DISPATCH "-I${PROJECT_SOURCE_DIR}/include")
    if(header MATCHES "core/openmp[.]hpp$")
      if(NOT compiler STREQUAL CMAKE_CXX_COMPILER OR NOT TARGET OpenMP::OpenMP_CXX)
        continue()
      endif()
      list(APPEND flags ${OpenMP_CXX_FLAGS})
    endif()
    set(stamp "${CMAKE_CURRENT_BINARY_DIR}/alone/${target}.${name}.stamp")
    add_custom_command(
      OUTPUT "${stamp}"
      COMMAND "${compiler}" ${flags} -MD -MF "${stamp}.d" -MT "${stamp}" "${probe}"
      COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
      DEPENDS "${probe}"
      DEPFILE "${stamp}.d"
      COMMENT "${compiler_name} ${header}"
      VERBATIM)
    list(APPEND stamps "${stamp}")
  endforeach()
  add_custom_target(${target} DEPENDS ${stamps})
endfunction()

add_headers_alone(headers_alone "${CMAKE_CXX_COMPILER}")
find_program(QOMPOSE_SECOND_COMPILER clang++)
mark_as_advanced(QOMPOSE_SECOND_COMPILER)
if(QOMPOSE_SECOND_COMPILER AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  add_headers_alone(headers_alone_second "${QOMPOSE_SECOND_COMPILER}")
endif()

set(keep_going)
if(CMAKE_GENERATOR MATCHES "Ninja")
  set(keep_going -- -k 0)
endif()
add_test(NAME project.headers_alone
         COMMAND "${CMAKE_COMMAND}" --build "${PROJECT_BINARY_DIR}" --parallel 2 --target headers_alone
                 ${keep_going})
set_tests_properties(project.headers_alone PROPERTIES LABELS project TIMEOUT 600 PROCESSORS 2)

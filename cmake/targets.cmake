# SPDX-License-Identifier: Apache-2.0
# The three targets that other projects link. All are INTERFACE: there is nothing to compile.

add_library(qompose INTERFACE)
add_library(qompose::qompose ALIAS qompose)
target_compile_features(qompose INTERFACE cxx_std_20)
target_include_directories(qompose INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
# Highway 1.0.3 refuses -march=native on recent processors without it; it must be seen before the
# first Highway header, which may be included by the user before ours.
target_compile_definitions(qompose INTERFACE HWY_WANT_AVX3_DL=1)

if(QOMPOSE_STATIC_DISPATCH)
  qompose_find_highway_headers()
  target_compile_definitions(qompose INTERFACE QOMPOSE_STATIC_DISPATCH)
  target_link_libraries(qompose INTERFACE qompose::highway_headers)
else()
  qompose_find_highway()
  target_link_libraries(qompose INTERFACE hwy::hwy)
endif()
if(NOT qompose_highway_FOUND)
  message(FATAL_ERROR "qompose: Highway (>= 1.0.3) was not found; install libhwy-dev, or set "
                      "CMAKE_PREFIX_PATH, or add Highway to the project before qompose")
endif()

add_library(qompose_model INTERFACE)
set_target_properties(qompose_model PROPERTIES EXPORT_NAME model)
target_link_libraries(qompose_model INTERFACE qompose nlohmann_json::nlohmann_json
                                              PkgConfig::qompose_pcre2 PkgConfig::qompose_utf8proc)
qompose_find_model_dependencies()

add_library(qompose_offline INTERFACE)
set_target_properties(qompose_offline PROPERTIES EXPORT_NAME offline)
target_link_libraries(
  qompose_offline INTERFACE qompose xtensor $<TARGET_NAME_IF_EXISTS:xtensor-blas>
                            $<TARGET_NAME_IF_EXISTS:LAPACK::LAPACK>)
qompose_find_offline_dependencies()

# An alias exists only where it can be linked; everything else asks `if(TARGET qompose::model)`.
foreach(part model offline)
  if(qompose_${part}_MISSING)
    message(STATUS "qompose::${part} is left out: missing ${qompose_${part}_MISSING}")
  else()
    add_library(qompose::${part} ALIAS qompose_${part})
  endif()
endforeach()

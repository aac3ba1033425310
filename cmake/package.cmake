# SPDX-License-Identifier: Apache-2.0
# Installs the headers and the package that `find_package(qompose)` reads. One export set per
# component, because a component whose dependencies are missing must not be loaded.

include(CMakePackageConfigHelpers)
set(qompose_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/qompose")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/qompose" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/qompose")

install(TARGETS qompose EXPORT qompose_core)
install(TARGETS qompose_model EXPORT qompose_model)
install(TARGETS qompose_offline EXPORT qompose_offline)
foreach(part core model offline)
  install(EXPORT qompose_${part} NAMESPACE qompose:: DESTINATION "${qompose_package_dir}"
          FILE qompose_${part}.cmake)
endforeach()

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/qomposeConfig.cmake.in" "${PROJECT_BINARY_DIR}/qomposeConfig.cmake"
  INSTALL_DESTINATION "${qompose_package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/qomposeConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/qomposeConfig.cmake"
              "${PROJECT_BINARY_DIR}/qomposeConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/qomposeDependencies.cmake"
        DESTINATION "${qompose_package_dir}")

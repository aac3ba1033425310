# SPDX-License-Identifier: Apache-2.0
# Toolchain file: AArch64 Linux from another machine, run by qemu-user. Only header-only
# dependencies are at hand there, so it goes with QOMPOSE_STATIC_DISPATCH.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
find_program(QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
set(CMAKE_CROSSCOMPILING_EMULATOR "${QEMU_AARCH64};-L;/usr/aarch64-linux-gnu")
# This machine's own libraries are of no use there.
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig)
set(CMAKE_SKIP_BUILD_RPATH ON)

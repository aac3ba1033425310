// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Fails on an emulator that takes ymm4 in a gather for "no index" (QEMU 7.2 does).

int main() {
  alignas(32) const int index[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const float table[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  alignas(32) float result[8] = {};
  asm volatile(
      "vmovdqa %1, %%ymm4\n"
      "vpcmpeqd %%ymm6, %%ymm6, %%ymm6\n"
      "vgatherdps %%ymm6, (%2,%%ymm4,4), %%ymm5\n"
      "vmovaps %%ymm5, %0\n"
      : "=m"(result)
      : "m"(index), "r"(table)
      : "xmm4", "xmm5", "xmm6", "memory");
  return result[0] == 1.0f && result[7] == 8.0f ? 0 : 1;
}

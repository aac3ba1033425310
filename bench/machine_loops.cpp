// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief The loops of machine_loops.hpp for x86-64 and AArch64.

#include "machine_loops.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

// Twelve chains hide the latency of any unit: two a cycle, at most six cycles each.
#define QOMPOSE_TWELVE(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)

namespace qompose_bench {
namespace {

#if defined(__x86_64__)

// Small, so that neither floats nor sums become numbers that a unit treats differently.
const std::uint32_t byte_pair = 0x01020102u;
const std::uint32_t word_ones = 0x00010001u;
const float small = 0x1p-10f;

#define QOMPOSE_VECTORS                                                                    \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc"

// A loop with AVX registers: the accumulators start at 0, 14 and 15 hold an operand.
#define QOMPOSE_AVX_LOOP(name, broadcast, width, body, operand)                           \
  void name(std::size_t steps) {                                                          \
    asm volatile("vzeroall\n\t" broadcast " %1, %%" width "14\n\t" broadcast " %1, %%"  \
                 width "15\n\t"                                                         \
                 "vpbroadcastd %2, %%ymm13\n\t"                                         \
                 ".p2align 6\n"                                                         \
                 "1:\n\t" QOMPOSE_TWELVE(body) "dec %0\n\t"                             \
                 "jnz 1b\n\t"                                                           \
                 "vzeroupper"                                                           \
                 : "+r"(steps)                                                          \
                 : "m"(operand), "m"(word_ones)                                         \
                 : QOMPOSE_VECTORS); \
  }

#define QOMPOSE_STEP(r) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #r "\n\t"
QOMPOSE_AVX_LOOP(dot_vnni_512, "vpbroadcastd", "zmm", QOMPOSE_STEP, byte_pair)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #r "\n\t"
QOMPOSE_AVX_LOOP(dot_vnni_256, "vpbroadcastd", "ymm", QOMPOSE_STEP, byte_pair)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r)                      \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n\t" \
  "vpmaddwd %%ymm13, %%ymm12, %%ymm12\n\t"   \
  "vpaddd %%ymm12, %%ymm" #r ", %%ymm" #r "\n\t"
QOMPOSE_AVX_LOOP(dot_avx2, "vpbroadcastd", "ymm", QOMPOSE_STEP, byte_pair)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r)                      \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n\t" \
  "vpaddw %%ymm12, %%ymm" #r ", %%ymm" #r "\n\t"
QOMPOSE_AVX_LOOP(short_sum_avx2, "vpbroadcastd", "ymm", QOMPOSE_STEP, byte_pair)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #r "\n\t"
QOMPOSE_AVX_LOOP(float_fma_512, "vbroadcastss", "zmm", QOMPOSE_STEP, small)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #r "\n\t"
QOMPOSE_AVX_LOOP(float_fma_256, "vbroadcastss", "ymm", QOMPOSE_STEP, small)
#undef QOMPOSE_STEP

// The same in the first form of SSE, for processors without AVX2.
#define QOMPOSE_ZERO(r) "pxor %%xmm" #r ", %%xmm" #r "\n\t"
#define QOMPOSE_SSE_LOOP(name, body)                                                      \
  void name(std::size_t steps) {                                                          \
    asm volatile(QOMPOSE_TWELVE(QOMPOSE_ZERO)                                           \
                 "movss %1, %%xmm14\n\t"                                                \
                 "shufps $0, %%xmm14, %%xmm14\n\t"                                      \
                 "movaps %%xmm14, %%xmm15\n\t"                                          \
                 "movaps %%xmm14, %%xmm13\n\t"                                          \
                 ".p2align 6\n"                                                         \
                 "1:\n\t" QOMPOSE_TWELVE(body) "dec %0\n\t"                             \
                 "jnz 1b"                                                               \
                 : "+r"(steps)                                                          \
                 : "m"(small)                                                           \
                 : QOMPOSE_VECTORS); \
  }
#define QOMPOSE_STEP(r)            \
  "movdqa %%xmm14, %%xmm12\n\t"    \
  "pmaddubsw %%xmm15, %%xmm12\n\t" \
  "pmaddwd %%xmm13, %%xmm12\n\t"   \
  "paddd %%xmm12, %%xmm" #r "\n\t"
QOMPOSE_SSE_LOOP(dot_ssse3, QOMPOSE_STEP)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r)         \
  "movaps %%xmm14, %%xmm12\n\t" \
  "mulps %%xmm15, %%xmm12\n\t"  \
  "addps %%xmm12, %%xmm" #r "\n\t"
QOMPOSE_SSE_LOOP(float_sse, QOMPOSE_STEP)
#undef QOMPOSE_STEP

// In order; in order with lines asked for ahead of time; four places at once.
#define QOMPOSE_READ_LOOPS(suffix, load, end)                                                      \
  void read_in_order_##suffix(const std::uint8_t* data, std::size_t bytes) {                       \
    const std::uint8_t* last = data + bytes;                                                       \
    asm volatile("1:\n\t" load("%0", "0", "0") load("%0", "64", "1") load("%0", "128", "2")     \
                     load("%0", "192", "3") "add $256, %0\n\t"                                  \
                                            "cmp %1, %0\n\t"                                    \
                                            "jb 1b\n\t" end                                     \
                 : "+r"(data)                                                                   \
                 : "r"(last)                                                                    \
                 : QOMPOSE_VECTORS);  \
  }                                                                                                \
  void read_ahead_##suffix(const std::uint8_t* data, std::size_t bytes) {                          \
    const std::uint8_t* last = data + bytes;                                                       \
    asm volatile("1:\n\t"                                                                       \
                 "prefetcht0 4096(%0)\n\tprefetcht0 4160(%0)\n\t"                               \
                 "prefetcht0 4224(%0)\n\tprefetcht0 4288(%0)\n\t" load("%0", "0", "0")          \
                     load("%0", "64", "1") load("%0", "128", "2") load("%0", "192", "3")        \
                         "add $256, %0\n\t"                                                     \
                         "cmp %1, %0\n\t"                                                       \
                         "jb 1b\n\t" end                                                        \
                 : "+r"(data)                                                                   \
                 : "r"(last)                                                                    \
                 : QOMPOSE_VECTORS);  \
  }                                                                                                \
  void read_four_##suffix(const std::uint8_t* data, std::size_t bytes) {                           \
    const std::uint8_t* last = data + bytes / 4;                                                   \
    const std::size_t apart = bytes / 4;                                                           \
    const std::size_t thrice = 3 * apart;                                                          \
    asm volatile("1:\n\t" load("%0", "0", "0") load("%0,%2", "0", "1") load("%0,%2,2", "0", "2") \
                     load("%0,%3", "0", "3") "add $64, %0\n\t"                                  \
                                             "cmp %1, %0\n\t"                                   \
                                             "jb 1b\n\t" end                                    \
                 : "+r"(data)                                                                   \
                 : "r"(last), "r"(apart), "r"(thrice)                                           \
                 : QOMPOSE_VECTORS); \
  }
#define QOMPOSE_LOAD(place, offset, r) "vmovdqu64 " offset "(" place "), %%zmm" r "\n\t"
QOMPOSE_READ_LOOPS(512, QOMPOSE_LOAD, "vzeroupper")
#undef QOMPOSE_LOAD
#define QOMPOSE_LOAD(place, offset, r)     \
  "vmovdqu " offset "(" place "), %%ymm" r \
  "\n\t"                                   \
  "vmovdqu 32+" offset "(" place "), %%ymm" r "\n\t"
QOMPOSE_READ_LOOPS(256, QOMPOSE_LOAD, "vzeroupper")
#undef QOMPOSE_LOAD
#define QOMPOSE_LOAD(place, offset, r)                                                   \
  "movdqu " offset "(" place "), %%xmm" r "\n\tmovdqu 16+" offset "(" place "), %%xmm" r \
  "\n\t"                                                                                 \
  "movdqu 32+" offset "(" place "), %%xmm" r "\n\tmovdqu 48+" offset "(" place "), %%xmm" r "\n\t"
QOMPOSE_READ_LOOPS(128, QOMPOSE_LOAD, "")
#undef QOMPOSE_LOAD

bool has_avx_vnni() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 16u) != 0 &&
         __builtin_cpu_supports("avx2");
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

#elif defined(__aarch64__)

#define QOMPOSE_VECTORS                                                                          \
  "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v30", "v31", \
      "memory", "cc"

#define QOMPOSE_NEON_LOOP(name, body)                                     \
  void name(std::size_t steps) {                                          \
    asm volatile("movi v30.16b, #1\n\t"                                 \
                 "movi v31.16b, #1\n"                                   \
                 "1:\n\t" QOMPOSE_TWELVE(body) "subs %0, %0, #1\n\t"    \
                 "b.ne 1b"                                              \
                 : "+r"(steps)                                          \
                 :                                                      \
                 : QOMPOSE_VECTORS); \
  }
// sdot v<r>.4s, v30.16b, v31.16b, in figures, as older assemblers want a flag for its name.
#define QOMPOSE_STEP(r) ".inst 0x4e9f97c0 + " #r "\n\t"
QOMPOSE_NEON_LOOP(dot_sdot, QOMPOSE_STEP)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r)                 \
  "smull v12.8h, v30.8b, v31.8b\n\t"    \
  "smlal2 v12.8h, v30.16b, v31.16b\n\t" \
  "sadalp v" #r ".4s, v12.8h\n\t"
QOMPOSE_NEON_LOOP(dot_neon, QOMPOSE_STEP)
#undef QOMPOSE_STEP
#define QOMPOSE_STEP(r) "fmla v" #r ".4s, v30.4s, v31.4s\n\t"
QOMPOSE_NEON_LOOP(float_neon, QOMPOSE_STEP)
#undef QOMPOSE_STEP

void read_in_order_neon(const std::uint8_t* data, std::size_t bytes) {
  const std::uint8_t* last = data + bytes;
  asm volatile(
      "1:\n\t"
      "ldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]\n\t"
      "ldp q4, q5, [%0, #64]\n\tldp q6, q7, [%0, #96]\n\t"
      "add %0, %0, #128\n\t"
      "cmp %0, %1\n\t"
      "b.lo 1b"
      : "+r"(data)
      : "r"(last)
      : QOMPOSE_VECTORS);
}
void read_ahead_neon(const std::uint8_t* data, std::size_t bytes) {
  const std::uint8_t* last = data + bytes;
  asm volatile(
      "1:\n\t"
      "prfm pldl1keep, [%0, #4096]\n\tprfm pldl1keep, [%0, #4160]\n\t"
      "ldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]\n\t"
      "ldp q4, q5, [%0, #64]\n\tldp q6, q7, [%0, #96]\n\t"
      "add %0, %0, #128\n\t"
      "cmp %0, %1\n\t"
      "b.lo 1b"
      : "+r"(data)
      : "r"(last)
      : QOMPOSE_VECTORS);
}

bool has_dot_product() {
#if defined(__linux__) && defined(HWCAP_ASIMDDP)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__ARM_FEATURE_DOTPROD)
  return true;
#else
  return false;
#endif
}

#endif

}  // namespace

#if defined(__x86_64__)

register_loop integer_dot_loop() {
  if (has_avx512() && __builtin_cpu_supports("avx512vnni")) {
    return {"vpdpbusd zmm", 12 * 128, &dot_vnni_512};
  }
  if (has_avx_vnni()) return {"vpdpbusd ymm", 12 * 64, &dot_vnni_256};
  if (__builtin_cpu_supports("avx2")) return {"vpmaddubsw+vpmaddwd ymm", 12 * 64, &dot_avx2};
  return {"pmaddubsw+pmaddwd xmm", 12 * 32, &dot_ssse3};
}
register_loop short_sum_loop() {
  const register_loop dot = integer_dot_loop();
  if (dot.run == &dot_avx2) return {"vpmaddubsw+vpaddw ymm", 12 * 64, &short_sum_avx2};
  return dot;
}
register_loop float_loop() {
  if (has_avx512()) return {"vfmadd zmm", 12 * 32, &float_fma_512};
  if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2")) {
    return {"vfmadd ymm", 12 * 16, &float_fma_256};
  }
  return {"mulps+addps xmm", 12 * 8, &float_sse};
}
std::vector<read_loop> read_loops() {
  if (has_avx512()) {
    return {{"in order, zmm", &read_in_order_512},
            {"prefetched, zmm", &read_ahead_512},
            {"four streams, zmm", &read_four_512}};
  }
  if (__builtin_cpu_supports("avx2")) {
    return {{"in order, ymm", &read_in_order_256},
            {"prefetched, ymm", &read_ahead_256},
            {"four streams, ymm", &read_four_256}};
  }
  return {{"in order, xmm", &read_in_order_128},
          {"prefetched, xmm", &read_ahead_128},
          {"four streams, xmm", &read_four_128}};
}

#elif defined(__aarch64__)

register_loop integer_dot_loop() {
  if (has_dot_product()) return {"sdot", 12 * 32, &dot_sdot};
  return {"smull+smlal2+sadalp", 12 * 32, &dot_neon};
}
register_loop short_sum_loop() { return integer_dot_loop(); }
register_loop float_loop() { return {"fmla", 12 * 8, &float_neon}; }
std::vector<read_loop> read_loops() {
  return {{"in order, neon", &read_in_order_neon}, {"prefetched, neon", &read_ahead_neon}};
}

#else
#error "qompose: bench/machine_loops.cpp: no loops for this processor; add some"
#endif

}  // namespace qompose_bench

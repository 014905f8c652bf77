// What machine this is: cores, features, memory.
#ifndef INGOT_BASE_CPU_H
#define INGOT_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Features that the CPU has and the operating system has enabled (XCR0).
typedef struct cpu_features {
    bool avx2_fma_f16c; // AVX2, FMA and F16C together
    bool avx_vnni;
    bool avx512; // F, BW, DQ, VL and CD together
    bool avx512_vnni;
    bool avx512_bf16;
    bool neon_dotprod;
    bool neon_i8mm;
} cpu_features;

void cpu_detect(cpu_features *out);

// "AMD EPYC 9354", or "unknown CPU".
void cpu_model_name(char *name, size_t capacity);

// Threads that pay: performance cores (one thread a core) within affinity and cgroup quota, at least 1. Fills
// `cores` (may be NULL) with the logical CPU ids to pin to, at most `capacity`.
int cpu_thread_count(int *cores, int capacity);

// Cores of the machine.
int cpu_core_count(void);

// Physical memory, and what could be used now without swapping; both bounded by cgroup limits.
void cpu_memory(uint64_t *total, uint64_t *available);

#endif

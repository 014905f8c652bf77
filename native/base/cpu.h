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

// Threads that pay: performance cores (one thread a core) within affinity and cgroup quota (a quota of 1.5
// gives 2), at least 1. Fills `cores` (may be NULL) with the logical CPU ids to pin to, at most `capacity`.
int cpu_thread_count(int *cores, int capacity);

// Physical cores of the machine, whoever may use them.
int cpu_core_count(void);

// Physical memory, and what could be used now without swapping; both bounded by cgroup limits. 0 where the
// system doesn't say.
void cpu_memory(uint64_t *total, uint64_t *available);

// ------------------------------------------------------------ the parts, for tests with made-up machines

enum { CPU_MAX = 4096 };

// A set of logical CPU ids.
typedef struct cpu_set {
    uint64_t words[CPU_MAX / 64];
} cpu_set;

bool cpu_set_has(const cpu_set *set, int id);
void cpu_set_add(cpu_set *set, int id);
int cpu_set_count(const cpu_set *set);

// Reads a list as the kernel prints it ("0-3,8"); false, and an empty set, if it is malformed or names an id
// of CPU_MAX or more. An empty text is the empty set.
bool cpu_parse_list(const char *text, cpu_set *out);

// The number after `key` in a text of lines as in /proc/meminfo ("MemTotal:  16384 kB") or memory.stat
// ("inactive_file 4096"), without its unit; false if there is none.
bool cpu_parse_field(const char *text, const char *key, uint64_t *out);

// Keeps of `allowed` one logical CPU for each performance core, by the files below `sys` (normally "/sys").
void cpu_pick_cores(const char *sys, const cpu_set *allowed, cpu_set *out);

#endif

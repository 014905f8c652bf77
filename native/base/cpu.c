#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#include <sys/types.h>
#endif

#if defined(__x86_64__)

// The states that the system saves and restores on a switch of threads: without them a feature is no use.
static uint64_t enabled_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool all(uint64_t value, uint64_t mask) {
    return (value & mask) == mask;
}

static uint32_t bit(int i) {
    return UINT32_C(1) << i;
}

// Bits: Intel SDM volume 2A, CPUID; XCR0: volume 1, chapter 13.
void cpu_detect(cpu_features *out) {
    memset(out, 0, sizeof *out);
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit(27) | bit(28))) // OSXSAVE, AVX
        return;
    bool fma_f16c = all(c, bit(12) | bit(29));
    uint64_t states = enabled_states();
    if (!all(states, 0x06) || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) // XMM, YMM
        return;
    uint32_t subleaves = a;
    out->avx2_fma_f16c = fma_f16c && all(b, bit(5));
    out->avx512 = out->avx2_fma_f16c && all(states, 0xe6) &&               // and opmask, ZMM0-15, ZMM16-31
                  all(b, bit(16) | bit(17) | bit(28) | bit(30) | bit(31)); // F, DQ, CD, BW, VL
    out->avx512_vnni = out->avx512 && all(c, bit(11));
    if (subleaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d))
        return;
    out->avx_vnni = out->avx2_fma_f16c && all(a, bit(4));
    out->avx512_bf16 = out->avx512 && all(a, bit(5));
}

static bool brand_string(char *name, size_t capacity) {
    uint32_t words[12];
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t *w = words + 4 * i;
        if (!__get_cpuid(0x80000002 + i, &w[0], &w[1], &w[2], &w[3]))
            return false;
    }
    snprintf(name, capacity, "%.*s", (int)sizeof words, (const char *)words);
    return true;
}

#elif defined(__aarch64__) && defined(__APPLE__)

static bool apple_has(const char *key) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(key, &value, &size, NULL, 0) == 0 && value != 0;
}

void cpu_detect(cpu_features *out) {
    memset(out, 0, sizeof *out);
    out->neon_dotprod = apple_has("hw.optional.arm.FEAT_DotProd");
    out->neon_i8mm = out->neon_dotprod && apple_has("hw.optional.arm.FEAT_I8MM");
}

static bool brand_string(char *name, size_t capacity) {
    return sysctlbyname("machdep.cpu.brand_string", name, &capacity, NULL, 0) == 0;
}

#elif defined(__aarch64__) && defined(__linux__)

// Bits: the kernel's Documentation/arch/arm64/elf_hwcaps.rst, with the numbers of asm/hwcap.h.
void cpu_detect(cpu_features *out) {
    const unsigned long asimddp = 1ul << 20, i8mm = 1ul << 13;
    memset(out, 0, sizeof *out);
    out->neon_dotprod = (getauxval(AT_HWCAP) & asimddp) != 0;
    out->neon_i8mm = out->neon_dotprod && (getauxval(AT_HWCAP2) & i8mm) != 0;
}

// The kernel names boards, not ARM cores.
static bool brand_string(char *name, size_t capacity) {
    return file_read_text("/sys/firmware/devicetree/base/model", name, capacity);
}

#else

void cpu_detect(cpu_features *out) {
    memset(out, 0, sizeof *out);
}

static bool brand_string(char *name, size_t capacity) {
    (void)name;
    (void)capacity;
    return false;
}

#endif

void cpu_model_name(char *name, size_t capacity) {
    if (capacity == 0)
        return;
    if (!brand_string(name, capacity))
        name[0] = '\0';
    // Vendors pad with blanks.
    size_t n = 0;
    for (const char *s = name; *s; s++)
        if (*s > ' ' && *s < 0x7f)
            name[n++] = *s;
        else if (n > 0 && name[n - 1] != ' ')
            name[n++] = ' ';
    while (n > 0 && name[n - 1] == ' ')
        n--;
    name[n] = '\0';
    if (n == 0)
        snprintf(name, capacity, "unknown CPU");
}

// The instruction sets that tests of kernels run: all that this machine can.
#ifndef INGOT_TESTS_EACH_ISA_H
#define INGOT_TESTS_EACH_ISA_H

#include <stdio.h>

#include "kernels/kernels.h"

static inline void run_on(const kernels *k, bool usable, void (*test)(const kernels *k)) {
    printf("%s%s\n", k->name, usable ? "" : ": this machine can't run it");
    if (usable)
        test(k);
}

static inline void for_each_isa(void (*test)(const kernels *k)) {
    for (int i = 0; kernels_at(i); i++)
        run_on(kernels_at(i), kernels_usable(i, NULL), test);
#ifdef AVXVNNI_EVEX
    extern const kernels kernels_avxvnni_evex;
    cpu_features cpu;
    cpu_detect(&cpu);
    run_on(&kernels_avxvnni_evex, cpu.avx512_vnni, test);
#endif
}

#endif

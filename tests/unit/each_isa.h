// The instruction sets that tests of kernels run: all of the library's that this machine can.
#ifndef INGOT_TESTS_EACH_ISA_H
#define INGOT_TESTS_EACH_ISA_H

#include <stdio.h>

#include "kernels/kernels.h"

static inline void for_each_isa(void (*test)(const kernels *k)) {
    for (int i = 0; kernels_at(i); i++) {
        printf("%s%s\n", kernels_at(i)->name, kernels_usable(i, NULL) ? "" : ": this machine can't run it");
        if (kernels_usable(i, NULL))
            test(kernels_at(i));
    }
}

#endif

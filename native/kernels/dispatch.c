#include "kernels/kernels.h"

#include <stdio.h>
#include <string.h>

#define ISA(name, usable) extern const kernels kernels_##name;
#include "kernels/isas.def"
#undef ISA

static const kernels *const table[] = {
#define ISA(name, usable) &kernels_##name,
#include "kernels/isas.def"
#undef ISA
};

enum { N_ISAS = (int)(sizeof table / sizeof *table) };

const kernels *kernels_at(int i) {
    return i >= 0 && i < N_ISAS ? table[i] : NULL;
}

bool kernels_usable(int i, const cpu_features *cpu) {
    cpu_features detected;
    if (!cpu) {
        cpu_detect(&detected);
        cpu = &detected;
    }
    const bool usable[] = {
#define ISA(name, usable) usable,
#include "kernels/isas.def"
#undef ISA
    };
    return i >= 0 && i < N_ISAS && usable[i];
}

ingot_status kernels_choose(const char *name, const cpu_features *cpu, const kernels **out,
                            ingot_error *err) {
    char usable[128] = "";
    size_t used = 0;
    *out = NULL;
    for (int i = 0; i < N_ISAS; i++) {
        if (!kernels_usable(i, cpu))
            continue;
        if (!name || strcmp(name, table[i]->name) == 0)
            *out = table[i];
        int n = snprintf(usable + used, sizeof usable - used, "%s%s", used ? ", " : "", table[i]->name);
        used += n > 0 && (size_t)n < sizeof usable - used ? (size_t)n : 0;
    }
    if (*out)
        return INGOT_OK;
    return fail(err, INGOT_ERR_NOT_FOUND, "instruction set '%s' is not usable on this machine; usable: %s",
                name, usable);
}

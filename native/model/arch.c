#include "model/arch.h"

#include <stdio.h>
#include <string.h>

static const arch table[] = {
#define ARCH(id, ...) {.name = id, __VA_ARGS__},
#include "model/archs.def"
#undef ARCH
};

const arch *arch_at(int32_t i) {
    return i >= 0 && (size_t)i < sizeof table / sizeof *table ? &table[i] : NULL;
}

ingot_status arch_find(ingot_str name, const arch **out, ingot_error *err) {
    char known[512] = "";
    size_t used = 0;
    for (int32_t i = 0; arch_at(i); i++) {
        const char *row = arch_at(i)->name;
        if (strlen(row) == name.size && memcmp(row, name.data, name.size) == 0) {
            *out = arch_at(i);
            return INGOT_OK;
        }
        int n = snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", row);
        used += n > 0 && (size_t)n < sizeof known - used ? (size_t)n : 0;
    }
    int shown = name.size < 64 ? (int)name.size : 64;
    return fail(err, INGOT_ERR_UNSUPPORTED,
                "key 'general.architecture' is '%.*s', which this version can't run; it can: %s", shown,
                name.data, known);
}

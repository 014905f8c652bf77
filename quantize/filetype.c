#include "quantize/filetype.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const filetype rows[] = {
#define FILETYPE(name, id, base, bits) {#name, id, QUANT_##base, bits},
#include "quantize/filetypes.def"
#undef FILETYPE
};
enum { COUNT = sizeof rows / sizeof *rows };

static const filetype copy = {"COPY", FILETYPE_COPY, -1, "as they are"};

static const struct {
    const char *alias, *name;
} aliases[] = {{"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

const filetype *filetype_at(int32_t i) {
    return i >= 0 && i < COUNT ? &rows[i] : NULL;
}

const filetype *filetype_find(const char *name) {
    if (strcasecmp(name, copy.name) == 0)
        return &copy;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(name, aliases[i].alias) == 0)
            name = aliases[i].name;
    bool number = *name != '\0' && strspn(name, "0123456789") == strlen(name) && strlen(name) <= 4;
    for (int32_t i = 0; i < COUNT; i++)
        if (number ? atoi(name) == rows[i].id : strcasecmp(name, rows[i].name) == 0)
            return &rows[i];
    return NULL;
}

int32_t filetype_of_tensor_type(int32_t type) {
    // Where several file types have it for their base, the middle one.
    switch (type) {
    case QUANT_Q2_K:
        return FILETYPE_Q2_K;
    case QUANT_Q3_K:
        return FILETYPE_Q3_K_M;
    case QUANT_IQ3_S:
        return FILETYPE_IQ3_S;
    case QUANT_IQ2_S:
        return FILETYPE_IQ2_S;
    case QUANT_IQ2_XS:
        return FILETYPE_IQ2_XS;
    }
    for (int32_t i = 0; i < COUNT; i++)
        if (rows[i].base == type)
            return rows[i].id;
    return FILETYPE_F32;
}

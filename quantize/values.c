// The values of single options.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"
#include "quantize/options.h"
#include "quantize/recipe.h"

bool option_append(void *items, size_t *n, const void *item, size_t size) {
    void **array = items;
    void *grown = mem_resize(NULL, *array, *n + 1, size);
    if (!grown)
        return false;
    memcpy((char *)grown + *n * size, item, size);
    *array = grown;
    ++*n;
    return true;
}

char *option_text(options *o, const char *text, size_t size) {
    char *copy = store_alloc(&o->store, NULL, size + 1, 1);
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

ingot_status option_tensor_type(const char *text, int32_t *out, ingot_error *err) {
    const quant_type *type = quant_type_find(text);
    bool weights = type && (type->id < QUANT_I8 || type->id > QUANT_F64) && type->id != QUANT_Q8_1 &&
                   type->id != QUANT_Q8_K;
    if (!weights)
        return fail(err, INGOT_ERR_INVALID, "'%s' is no tensor type for weights, expected one as Q4_K or F16",
                    text);
    *out = type->id;
    return INGOT_OK;
}

ingot_status option_wish(options *o, const char *text, ingot_error *err) {
    const char *equals = strrchr(text, '=');
    wish w;
    if (!equals || equals == text || equals[1] == '\0')
        return fail(err, INGOT_ERR_INVALID, "--tensor-type '%s': expected PATTERN=TYPE, as attn_v=q6_k",
                    text);
    char *name = option_text(o, text, (size_t)(equals - text));
    if (!name)
        return fail_memory(err, strlen(text), "a pattern");
    if (option_tensor_type(equals + 1, &w.type, err) != INGOT_OK ||
        pattern_new(name, NULL, &w.pattern, err) != INGOT_OK)
        return fail_prefix(err, INGOT_ERR_INVALID, "--tensor-type");
    if (option_append(&o->wishes, &o->n_wishes, &w, sizeof w))
        return INGOT_OK;
    pattern_free(w.pattern);
    return fail_memory(err, sizeof w, "a pattern");
}

ingot_status option_wish_file(options *o, const char *path, ingot_error *err) {
    static const char space[] = " \t\r\n";
    file_map map;
    TRY(file_map_open(path, true, false, NULL, NULL, NULL, &map, err));
    char *text = option_text(o, (const char *)map.data, (size_t)map.size);
    file_map_close(&map, NULL);
    if (!text)
        return fail_memory(err, map.size, "a file of tensor types");
    for (char *rest = NULL, *word = strtok_r(text, space, &rest); word; word = strtok_r(NULL, space, &rest))
        if (option_wish(o, word, err) != INGOT_OK)
            return fail_prefix(err, INGOT_ERR_INVALID, "%s", path);
    return INGOT_OK;
}

int32_t options_wish(void *user, const char *name) {
    const options *o = user;
    for (size_t i = 0; i < o->n_wishes; i++)
        if (pattern_found(o->wishes[i].pattern, name))
            return o->wishes[i].type;
    return RECIPE_NO_TYPE;
}

// An integer takes the narrowest of the types that llama.cpp reads for counts: unsigned if it can be.
static bool read_int(const char *text, kv_override *v) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || errno != 0)
        return false;
    bool fits_u32 = value >= 0 && value <= UINT32_MAX, fits_i32 = value < 0 && value >= INT32_MIN;
    v->value.type = fits_u32 ? INGOT_GGUF_U32 : fits_i32 ? INGOT_GGUF_I32 : INGOT_GGUF_I64;
    memcpy(&v->number, &value, sizeof value);
    return true;
}

static bool read_float(const char *text, kv_override *v) {
    char *end;
    float value = strtof(text, &end);
    if (*text == '\0' || *end != '\0')
        return false;
    v->value.type = INGOT_GGUF_F32;
    memcpy(&v->number, &value, sizeof value);
    return true;
}

static bool read_bool(const char *text, kv_override *v) {
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return false;
    v->value.type = INGOT_GGUF_BOOL;
    v->number = yes;
    return true;
}

static bool read_str(const char *text, kv_override *v) {
    v->value.type = INGOT_GGUF_STRING;
    v->text = (ingot_str){text, strlen(text)};
    return true;
}

ingot_status option_override(options *o, const char *text, ingot_error *err) {
    static const struct {
        const char *prefix;
        bool (*read)(const char *text, kv_override *v);
    } kinds[] = {{"int:", read_int}, {"float:", read_float}, {"bool:", read_bool}, {"str:", read_str}};
    const char *equals = strchr(text, '=');
    bool done = false;
    kv_override v = {0};
    for (size_t i = 0; equals && equals > text && i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i].prefix);
        if (strncmp(equals + 1, kinds[i].prefix, n) == 0)
            done = kinds[i].read(equals + 1 + n, &v);
    }
    if (!done)
        return fail(
            err, INGOT_ERR_INVALID,
            "--override-kv '%s': expected KEY=TYPE:VALUE with TYPE int, float, bool (true, false) or str",
            text);
    v.key = option_text(o, text, (size_t)(equals - text));
    if (!v.key || !option_append(&o->overrides, &o->n_overrides, &v, sizeof v))
        return fail_memory(err, strlen(text), "a metadata entry");
    return INGOT_OK;
}

static int by_number(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

ingot_status option_prune(options *o, const char *text, ingot_error *err) {
    const char *at = text;
    do {
        char *end;
        long value = strtol(at, &end, 10);
        if (end == at || (*end != '\0' && *end != ',') || value < 0 || value > 65535)
            return fail(err, INGOT_ERR_INVALID, "--prune-layers '%s': expected numbers of layers, as 3,7,12",
                        text);
        int32_t layer = (int32_t)value;
        if (!option_append(&o->pruned, &o->n_pruned, &layer, sizeof layer))
            return fail_memory(err, sizeof layer, "a list of layers");
        at = *end == ',' ? end + 1 : end;
    } while (*at != '\0' || at[-1] == ',');
    qsort(o->pruned, o->n_pruned, sizeof *o->pruned, by_number);
    return INGOT_OK;
}

ingot_status option_size(const char *text, uint64_t *out, ingot_error *err) {
    static const struct {
        const char *unit;
        int shift;
    } units[] = {{"", 0},    {"K", 10},   {"KB", 10}, {"KiB", 10}, {"M", 20},
                 {"MB", 20}, {"MiB", 20}, {"G", 30},  {"GB", 30},  {"GiB", 30}};
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    for (size_t i = 0; end != text && *text != '-' && i < sizeof units / sizeof *units; i++)
        if (strcasecmp(end, units[i].unit) == 0 && value > 0 && value <= UINT64_C(1) << 33) {
            *out = (uint64_t)value << units[i].shift;
            return INGOT_OK;
        }
    return fail(err, INGOT_ERR_INVALID, "'%s' is no size, expected one as 512M or 2G", text);
}

// The command line as a whole; the values of single options are read in values.c.
#include "quantize/options.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "quantize/recipe.h"

enum { DEFAULT_MEMORY = 64 << 20, MAX_POSITIONALS = 4 };

// How the value of an option is taken.
typedef enum option_kind {
    FLAG,
    TEXT,
    TENSOR_TYPE,
    SIZE,
    EFFORT,
    INCLUDE,
    EXCLUDE,
    WISH,
    WISH_FILE,
    OVERRIDE,
    PRUNE,
} option_kind;

static const struct option_row {
    const char *name;
    option_kind kind;
    size_t offset; // of the field, for kinds that fill just one
} rows[] = {
    {"--help", FLAG, offsetof(options, help)},
    {"-h", FLAG, offsetof(options, help)},
    {"--pure", FLAG, offsetof(options, pure)},
    {"--leave-output-tensor", FLAG, offsetof(options, leave_output)},
    {"--allow-requantize", FLAG, offsetof(options, allow_requantize)},
    {"--keep-split", FLAG, offsetof(options, keep_split)},
    {"--dry-run", FLAG, offsetof(options, dry_run)},
    {"--json", FLAG, offsetof(options, json)},
    {"--imatrix", TEXT, offsetof(options, imatrix)},
    {"--output-tensor-type", TENSOR_TYPE, offsetof(options, output_type)},
    {"--token-embedding-type", TENSOR_TYPE, offsetof(options, embedding_type)},
    {"--effort", EFFORT, offsetof(options, high_effort)},
    {"--max-memory", SIZE, offsetof(options, max_memory)},
    {"--include-weights", INCLUDE, 0},
    {"--exclude-weights", EXCLUDE, 0},
    {"--tensor-type", WISH, 0},
    {"--tensor-type-file", WISH_FILE, 0},
    {"--override-kv", OVERRIDE, 0},
    {"--prune-layers", PRUNE, 0},
};

static ingot_status add_weights(options *o, const char *part, bool included, ingot_error *err) {
    if (o->n_weights > 0 && o->weights_included != included)
        return fail(err, INGOT_ERR_INVALID,
                    "--include-weights and --exclude-weights exclude each other: give one of them");
    o->weights_included = included;
    return option_append(&o->weights, &o->n_weights, &part, sizeof part)
               ? INGOT_OK
               : fail_memory(err, sizeof part, "a name");
}

static ingot_status take_value(options *o, const struct option_row *row, const char *value,
                               ingot_error *err) {
    void *field = (char *)o + row->offset;
    switch (row->kind) {
    case FLAG:
        *(bool *)field = true;
        return INGOT_OK;
    case TEXT:
        *(const char **)field = value;
        return INGOT_OK;
    case TENSOR_TYPE:
        return option_tensor_type(value, field, err) == INGOT_OK
                   ? INGOT_OK
                   : fail_prefix(err, INGOT_ERR_INVALID, "%s", row->name);
    case SIZE:
        return option_size(value, field, err) == INGOT_OK
                   ? INGOT_OK
                   : fail_prefix(err, INGOT_ERR_INVALID, "%s", row->name);
    case EFFORT:
        if (strcasecmp(value, "normal") != 0 && strcasecmp(value, "high") != 0)
            return fail(err, INGOT_ERR_INVALID, "--effort: '%s' is no effort, expected normal or high",
                        value);
        *(bool *)field = strcasecmp(value, "high") == 0;
        return INGOT_OK;
    case INCLUDE:
    case EXCLUDE:
        return add_weights(o, value, row->kind == INCLUDE, err);
    case WISH:
        return option_wish(o, value, err);
    case WISH_FILE:
        return option_wish_file(o, value, err);
    case OVERRIDE:
        return option_override(o, value, err);
    case PRUNE:
        return option_prune(o, value, err);
    }
    return INGOT_OK;
}

// Takes the option at argv[*i], and its value, which may follow as NAME=VALUE or as the next argument.
static ingot_status take_option(options *o, int argc, char **argv, int *i, ingot_error *err) {
    const char *given = argv[*i];
    size_t n = strcspn(given, "=");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (strlen(rows[r].name) != n || strncmp(rows[r].name, given, n) != 0)
            continue;
        const char *value = given[n] == '=' ? given + n + 1 : NULL;
        if (rows[r].kind == FLAG && value)
            return fail(err, INGOT_ERR_INVALID, "%s takes no value", rows[r].name);
        if (rows[r].kind != FLAG && !value) {
            if (*i + 1 >= argc)
                return fail(err, INGOT_ERR_INVALID, "%s needs a value", rows[r].name);
            value = argv[++*i];
        }
        return take_value(o, &rows[r], value, err);
    }
    return fail(err, INGOT_ERR_INVALID, "there is no option %s", given);
}

// DIR/ggml-model-TYPE.gguf beside the input; of a split's files the stem.
static ingot_status default_output(options *o, const char *type, ingot_error *err) {
    const char *slash = strrchr(o->input, '/');
    int folder = slash ? (int)(slash + 1 - o->input) : 0;
    char name[32];
    bool number = strspn(type, "0123456789") == strlen(type);
    snprintf(name, sizeof name, "%s", number ? o->target->name : type);
    for (char *c = name; *c; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    size_t size = (size_t)folder + sizeof name + 32;
    char *path = store_alloc(&o->store, NULL, size, 1);
    if (!path)
        return fail_memory(err, size, "a file's name");
    snprintf(path, size, "%.*sggml-model-%s%s", folder, o->input, name, o->keep_split ? "" : ".gguf");
    o->output = path;
    return INGOT_OK;
}

static ingot_status take_threads(options *o, const char *text, ingot_error *err) {
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < 0 || n > 1024)
        return fail(err, INGOT_ERR_INVALID, "'%s' is no number of threads, expected 0 (all cores) to 1024",
                    text);
    o->threads = (int32_t)n;
    return INGOT_OK;
}

// IN [OUT] TYPE [THREADS]: the second is the type if it can be one.
static ingot_status take_positionals(options *o, const char *const *args, int n, ingot_error *err) {
    if (n == 0)
        return fail(err, INGOT_ERR_INVALID, "expected IN.gguf [OUT.gguf] TYPE [THREADS]");
    o->input = args[0];
    o->target = n > 1 ? filetype_find(args[1]) : NULL;
    int type = 1;
    if (!o->target && n > 1) {
        o->output = args[1];
        type = 2;
        o->target = n > 2 ? filetype_find(args[2]) : NULL;
    }
    if (!o->target && n <= type)
        return fail(err, INGOT_ERR_INVALID,
                    "there is no file type after %s: expected one as Q4_K_M (--help lists "
                    "them)",
                    args[n - 1]);
    if (!o->target)
        return fail(err, INGOT_ERR_INVALID,
                    "'%s' is no file type, expected one as Q4_K_M (--help lists them)", args[type]);
    if (n > type + 2)
        return fail(err, INGOT_ERR_INVALID, "'%s' is one argument too many", args[type + 2]);
    if (n > type + 1)
        TRY(take_threads(o, args[type + 1], err));
    if (!o->output)
        return default_output(o, args[type], err);
    size_t size = strlen(o->output);
    if (o->keep_split && size > 5 && strcmp(o->output + size - 5, ".gguf") == 0)
        o->output = option_text(o, o->output, size - 5);
    return o->output ? INGOT_OK : fail_memory(err, size, "a file's name");
}

ingot_status options_read(int argc, char **argv, options *o, ingot_error *err) {
    *o = (options){
        .output_type = RECIPE_NO_TYPE, .embedding_type = RECIPE_NO_TYPE, .max_memory = DEFAULT_MEMORY};
    const char *args[MAX_POSITIONALS + 1] = {0};
    int n = 0;
    bool literal = false; // after "--"
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            o->help = true;
            return INGOT_OK;
        }
    for (int i = 0; i < argc; i++) {
        if (!literal && strcmp(argv[i], "--") == 0)
            literal = true;
        else if (!literal && argv[i][0] == '-' && argv[i][1] != '\0')
            TRY(take_option(o, argc, argv, &i, err));
        else if (n > MAX_POSITIONALS)
            return fail(err, INGOT_ERR_INVALID, "'%s' is one argument too many", argv[i]);
        else
            args[n++] = argv[i];
    }
    for (size_t i = 0; i < o->n_overrides; i++) { // now that the array stays where it is
        kv_override *v = &o->overrides[i];
        bool text = v->value.type == INGOT_GGUF_STRING;
        v->value.item_type = v->value.type;
        v->value.count = 1;
        v->value.data = text ? (const void *)&v->text : &v->number;
    }
    if (o->n_weights > 0 && !o->imatrix)
        return fail(err, INGOT_ERR_INVALID,
                    "--%s-weights chooses among the entries of --imatrix, which is missing",
                    o->weights_included ? "include" : "exclude");
    if (o->high_effort && !o->imatrix)
        return fail(err, INGOT_ERR_INVALID,
                    "--effort high needs what `ingot imatrix --moments` makes: give it with --imatrix");
    return take_positionals(o, args, n, err);
}

void options_free(options *o) {
    for (size_t i = 0; i < o->n_wishes; i++)
        pattern_free(o->wishes[i].pattern);
    mem_free(NULL, o->wishes);
    mem_free(NULL, o->weights);
    mem_free(NULL, o->overrides);
    mem_free(NULL, o->pruned);
    store_free(&o->store, NULL);
}

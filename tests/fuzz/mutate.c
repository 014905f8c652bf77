// Breaks GGUF files in many ways and opens them: each must be an error with a message, or load and be
// readable to the last byte, and leave no memory behind. Mutants of models (two small ones of its own are
// among the files) are opened as models, and those that load tokenise, generate and embed.
//
//     mutate [--seed N] [--first I] [--count N] FILE...
//
// Mutant I depends on the seed, I and the files alone. When the process dies, the last line names the mutant:
// `--first I --count 1` makes it again.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../unit/failing_mem.h"
#include "../unit/temp.h"
#include "../unit/tiny_model.h"
#include "gguf/gguf.h"
#include "gguf_visit.h"

enum { MAX_FILES = 128, MAX_SPOTS = 1024, MAX_PROMPT = 16, SECONDS_PER_MUTANT = 30 };

typedef struct spot {
    size_t at;
    size_t width;
} spot;

typedef struct original {
    const char *path;
    uint8_t *data;
    size_t size;
    size_t head;           // where the tensors' data begins: most of the damage is done before
    spot spots[MAX_SPOTS]; // where values, dimensions and types lie
    size_t n_spots;
    bool model; // opens as one
} original;

typedef struct totals {
    uint64_t loaded;
    uint64_t refused[INGOT_ERR_INTERNAL + 1];
    uint64_t wrong;
} totals;

static volatile uint64_t current; // the mutant, for the signal handler
static temp_dir dir;

// Runs a request to its end.
static ingot_status run_request(ingot_engine *e, const ingot_request *r, ingot_error *err) {
    uint64_t id;
    TRY(ingot_engine_submit(e, r, &id, err));
    ingot_event event = {0};
    ingot_status status = INGOT_OK;
    while (status == INGOT_OK && event.kind != INGOT_EVENT_DONE && event.kind != INGOT_EVENT_ERROR)
        status = ingot_engine_wait(e, id, -1, &event, err);
    if (event.kind == INGOT_EVENT_ERROR) {
        *err = event.error;
        status = event.error.status;
    }
    ingot_engine_drop(e, id);
    return status;
}

// Rows of the prompt and a few tokens after it.
static ingot_status generate(ingot_engine *e, ingot_request r, ingot_error *err) {
    enum { N_TOP = 3 };
    float logprobs[MAX_PROMPT], top_logprobs[MAX_PROMPT][N_TOP];
    int32_t top[MAX_PROMPT][N_TOP];
    r.max_tokens = 3;
    r.rows = (ingot_prompt_rows){1, NULL, logprobs, N_TOP, top[0], top_logprobs[0]};
    return run_request(e, &r, err);
}

// The vectors of a text as a whole and of its tokens, and its scores.
static ingot_status embed(ingot_engine *e, const ingot_model_info *info, ingot_request r, ingot_error *err) {
    const ingot_pooling poolings[] = {INGOT_POOLING_MEAN, INGOT_POOLING_NONE, INGOT_POOLING_RANK};
    size_t width = (size_t)(info->n_label > info->n_embd ? info->n_label : info->n_embd);
    ingot_status status = INGOT_OK;
    r.max_tokens = 0;
    r.embedding = malloc(r.n_tokens * width * sizeof *r.embedding);
    if (!r.embedding)
        exit(2);
    for (size_t i = 0; status == INGOT_OK && i < (info->n_label > 0 ? 3U : 2U); i++) {
        r.pooling = poolings[i];
        status = run_request(e, &r, err);
    }
    free(r.embedding);
    return status;
}

// Tokenises, generates and embeds a little, as far as the model allows.
static ingot_status use_model(ingot_model *m, ingot_error *err) {
    static const char text[] = "Hello <s> w\xc3\xb6rld";
    const ingot_engine_params params = {.k_type = 1, .v_type = 1, .n_ctx = 32, .n_batch = 8};
    int32_t tokens[MAX_PROMPT] = {1, 5, 9, 2, 60, 33, 7, 7, 12, 40, 3, 59};
    size_t n = 12;
    ingot_model_info info;
    ingot_model_get_info(m, &info);
    if (ingot_gguf_find(ingot_model_gguf(m), "tokenizer.ggml.model")) {
        ingot_status status =
            ingot_tokenize(m, text, sizeof text - 1, true, true, tokens, MAX_PROMPT, &n, err);
        if (status != INGOT_OK && status != INGOT_ERR_LIMIT)
            return status;
    }
    ingot_engine *e;
    TRY(ingot_engine_new(m, &params, &e, err));
    ingot_request r = ingot_request_default();
    r.tokens = tokens;
    r.n_tokens = n < MAX_PROMPT ? n : MAX_PROMPT;
    ingot_status status = info.generates && n > 1 ? generate(e, r, err) : INGOT_OK;
    if (status == INGOT_OK && n > 0)
        status = embed(e, &info, r, err);
    ingot_engine_free(e);
    return status;
}

static ingot_status use_model_image(const ingot_allocator *mem, const void *image, size_t size,
                                    ingot_error *err) {
    ingot_runtime_params params = {.threads = 1, .allocator = mem};
    ingot_runtime *runtime;
    ingot_model *m;
    temp_path path = temp_write(&dir, "mutant.gguf", image, size);
    TRY(ingot_runtime_new(&params, &runtime, err));
    ingot_status status = ingot_model_open(runtime, path.text, NULL, NULL, NULL, &m, err);
    if (status == INGOT_OK) {
        status = use_model(m, err);
        ingot_model_close(m);
    }
    ingot_runtime_free(runtime);
    return status;
}

static ingot_status use_image(const ingot_allocator *mem, const void *image, size_t size, ingot_error *err) {
    ingot_gguf *g = NULL;
    TRY(gguf_open_memory(mem, image, size, "mutant.gguf", &g, err));
    volatile uint64_t sum = visit_gguf(g);
    (void)sum;
    ingot_gguf_close(g);
    return INGOT_OK;
}

// splitmix64
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t n) {
    return n > 0 ? (size_t)(next_random(state) % n) : 0;
}

static uint64_t extreme(uint64_t *state, size_t size) {
    const uint64_t values[] = {
        0,
        1,
        2,
        3,
        4,
        5,
        13,
        255,
        INT16_MAX,
        UINT16_MAX,
        INT32_MAX,
        UINT32_MAX,
        1ull << 31,
        1ull << 32,
        1ull << 60,
        1ull << 61,
        1ull << 62,
        INT64_MAX,
        1ull << 63,
        UINT64_MAX,
        UINT64_MAX - 7,
        UINT64_MAX - 31,
        size,
        size - 1,
        size + 1,
        size / 2,
    };
    uint64_t value = values[below(state, sizeof values / sizeof *values)];
    return below(state, 4) == 0 ? value + below(state, 9) - 4 : value;
}

// Overwrites one value of the undamaged file: the kind of mutant that still loads, and reaches further in.
static void replace_value(uint64_t *state, uint8_t *data, const original *o) {
    spot place = o->spots[below(state, o->n_spots)];
    uint64_t value = below(state, 2) == 0 ? extreme(state, o->size) : below(state, 100);
    memcpy(data + place.at, &value, place.width);
}

// Does one piece of damage to the `*size` bytes of `data`; there is room for as many again.
static void damage(uint64_t *state, uint8_t *data, size_t *size, size_t head) {
    size_t n = *size;
    if (n == 0)
        return;
    size_t reach = head > 0 && head < n && below(state, 10) != 0 ? head : n;
    size_t at = below(state, reach), at2 = below(state, reach), length = 1 + below(state, 32);
    uint64_t value = extreme(state, n);
    if (length > n - at)
        length = n - at;
    switch (below(state, 9)) {
    case 0:
        *size = at;
        break;
    case 1:
        data[at] ^= (uint8_t)(1u << below(state, 8));
        break;
    case 2:
        data[at] = (uint8_t)next_random(state);
        break;
    case 3:
    case 4:
        memcpy(data + at, &value, n - at < 4 ? n - at : 4);
        break;
    case 5:
    case 6:
        memcpy(data + at, &value, n - at < 8 ? n - at : 8);
        break;
    case 7: // a piece is lost
        memmove(data + at, data + at + length, n - at - length);
        *size = n - length;
        break;
    default: // a piece comes twice
        if (length > n - at2)
            length = n - at2;
        memmove(data + at + length, data + at, n - at);
        memmove(data + at, data + (at2 < at ? at2 : at), length);
        *size = n + length;
    }
}

// Makes mutant number `i` and uses it.
static void run_one(uint64_t seed, uint64_t i, const original *files, size_t n_files, uint8_t *scratch,
                    totals *t) {
    const original *o = &files[i % n_files];
    uint64_t state = seed ^ i * 0xd1342543de82ef95;
    size_t size = o->size;
    memcpy(scratch, o->data, size);
    bool gentle = o->n_spots > 0 && below(&state, 2) == 0;
    for (size_t n = 1 + below(&state, 3); n > 0; n--)
        if (gentle)
            replace_value(&state, scratch, o);
        else if (size < o->size * 2 - 64)
            damage(&state, scratch, &size, o->head);
    void *image;
    if (posix_memalign(&image, 64, size > 0 ? size : 1) != 0)
        exit(2);
    memcpy(image, scratch, size);
    failing_mem m;
    failing_mem_init(&m, -1);
    ingot_error err = {0};
    ingot_status status = o->model ? use_model_image(&m.allocator, image, size, &err)
                                   : use_image(&m.allocator, image, size, &err);
    bool silent = status != INGOT_OK && (err.status != status || err.message[0] == '\0');
    bool odd = status == INGOT_ERR_MEMORY || status == INGOT_ERR_INTERNAL;
    if (silent || odd || failing_mem_live(&m) != 0) {
        fprintf(stderr, "mutant %" PRIu64 " of %s: status %d, '%s', %ld blocks left\n", i, o->path,
                (int)status, err.message, failing_mem_live(&m));
        t->wrong++;
    }
    t->loaded += status == INGOT_OK;
    t->refused[status]++;
    free(image);
}

static void add_spot(original *o, const char *at, size_t width) {
    size_t offset = (size_t)((const uint8_t *)at - o->data);
    if (o->n_spots < MAX_SPOTS && width <= sizeof(uint64_t) && offset + width <= o->size)
        o->spots[o->n_spots++] = (spot){.at = offset, .width = width};
}

static void add_value_spots(original *o, const char *at, const ingot_gguf_value *value) {
    static const size_t widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    size_t width = widths[value->item_type];
    if (value->type == INGOT_GGUF_ARRAY) { // item type, count, items
        add_spot(o, at, 4);
        add_spot(o, at + 4, 8);
        at += 12;
    }
    if (value->item_type == INGOT_GGUF_STRING) {
        const ingot_str *strings = value->data;
        for (uint64_t i = 0; i < value->count; i += 1 + value->count / 8)
            add_spot(o, strings[i].data, strings[i].size < 4 ? strings[i].size : 4);
        add_spot(o, at, 8);
    } else if (width > 0) {
        for (uint64_t i = 0; i < value->count; i += 1 + value->count / 8)
            add_spot(o, at + i * width, width);
    }
}

// Notes the places of values, with the reader's help: names point into the file, and what follows them has a
// fixed layout.
static void find_spots(original *o, const ingot_gguf *g) {
    for (uint64_t i = 0; i < ingot_gguf_kv_count(g); i++) {
        const ingot_gguf_kv *kv = ingot_gguf_kv_at(g, i);
        add_value_spots(o, kv->key.data + kv->key.size + 4, &kv->value);
    }
    for (uint64_t i = 0; i < ingot_gguf_tensor_count(g); i++) {
        const ingot_gguf_tensor *t = ingot_gguf_tensor_at(g, i);
        const char *dims = t->name.data + t->name.size + 4;
        for (int d = 0; d < t->n_dims; d++)
            add_spot(o, dims + 8 * d, 8);
        add_spot(o, dims + 8 * t->n_dims, 4); // the type
    }
}

static void read_file(const char *path, original *out) {
    original o = {.path = path};
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    o.size = (size_t)ftell(f);
    rewind(f);
    void *data;
    if (posix_memalign(&data, 64, o.size + 64) != 0 || fread(data, 1, o.size, f) != o.size) {
        perror(path);
        exit(2);
    }
    fclose(f);
    o.data = data;
    ingot_gguf *g = NULL;
    ingot_error err;
    if (gguf_open_memory(NULL, o.data, o.size, path, &g, &err) != INGOT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(2);
    }
    const ingot_gguf_tensor *first = ingot_gguf_tensor_at(g, 0);
    o.head = first ? (size_t)first->offset : o.size;
    find_spots(&o, g);
    ingot_gguf_close(g);
    o.model = use_model_image(NULL, o.data, o.size, &err) == INGOT_OK;
    *out = o;
}

// Adds a small model to the files; what `options` says is on top of a plain llama.
static void add_model(original *out, const char *name, const tiny_options *options) {
    temp_path path = temp_join(&dir, name);
    if (tiny_model_write(path.text, options) != INGOT_OK) {
        fprintf(stderr, "%s can't be written\n", path.text);
        exit(2);
    }
    read_file(path.text, out);
    out->path = name;
    if (!out->model) {
        fprintf(stderr, "%s can't be used\n", name);
        exit(2);
    }
}

static void on_death(int signal_number) {
    char line[80];
    int n = snprintf(line, sizeof line, "mutant %" PRIu64 ": %s\n", current,
                     signal_number == SIGALRM ? "took too long" : "died");
    if (write(STDERR_FILENO, line, (size_t)n) != n)
        _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void print_totals(const totals *t, uint64_t count, double seconds) {
    printf("%" PRIu64 " mutants in %.1f s (%.0f a second): %" PRIu64 " loaded", count, seconds,
           (double)count / seconds, t->loaded);
    for (int status = 1; status <= INGOT_ERR_INTERNAL; status++)
        if (t->refused[status] > 0)
            printf(", %" PRIu64 " %s", t->refused[status], ingot_status_name((ingot_status)status));
    printf(", %" PRIu64 " wrong\n", t->wrong);
}

int main(int argc, char **argv) {
    static const int deaths[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    static original files[MAX_FILES];
    uint64_t seed = 1, first = 0, count = 10000;
    size_t n_files = 2, largest = 0;
    dir = temp_dir_make();
    add_model(&files[0], "dense.gguf", NULL);
    add_model(&files[1], "experts.gguf", &(tiny_options){.experts = true, .shared = true});
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0    ? &seed
                           : strcmp(argv[i], "--first") == 0 ? &first
                           : strcmp(argv[i], "--count") == 0 ? &count
                                                             : NULL;
        if (number && i + 1 < argc) {
            *number = strtoull(argv[++i], NULL, 10);
        } else if (n_files < MAX_FILES) {
            read_file(argv[i], &files[n_files++]);
        }
    }
    for (size_t i = 0; i < n_files; i++)
        largest = files[i].size > largest ? files[i].size : largest;
    uint8_t *scratch = malloc(2 * largest + 64);
    if (!scratch)
        return 2;
    for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++)
        signal(deaths[i], on_death);
    totals t = {0};
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (uint64_t i = first; i < first + count; i++) {
        current = i;
        alarm(SECONDS_PER_MUTANT);
        run_one(seed, i, files, n_files, scratch, &t);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_totals(&t, count,
                 (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    for (size_t i = 0; i < n_files; i++)
        free(files[i].data);
    free(scratch);
    temp_dir_remove(&dir);
    return t.wrong != 0;
}

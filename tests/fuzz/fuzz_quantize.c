// libFuzzer target: the `quantize` program but for its main function. The bytes are four parts, separated by
// a line "----": arguments, one a line (TYPES stands for the file of the next part); a file of tensor types;
// an importance matrix; a model. Whatever they are: an error with its message, or a plan that can be shown
// and, if it is small, carried out, after which the output opens; nothing is left behind where that fails.
#include <stdlib.h>
#include <unistd.h>

#include "../unit/temp.h"
#include "gguf/gguf.h"
#include "quantize/run.h"

enum { MAX_ARGS = 32, SMALL = 1 << 12 }; // weights

typedef struct part {
    const uint8_t *data;
    size_t size;
} part;

static temp_dir dir;
static ingot_runtime *runtime;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static bool ok(ingot_status status, const ingot_error *err) {
    require(status == INGOT_OK || (err->status == status && err->message[0] != '\0'));
    return status == INGOT_OK;
}

static void remove_dir(void) {
    ingot_runtime_free(runtime);
    temp_dir_remove(&dir);
}

static void begin(void) {
    const ingot_runtime_params params = {.threads = 1};
    dir = temp_dir_make();
    require(ingot_runtime_new(&params, &runtime, NULL) == INGOT_OK);
    require(freopen("/dev/null", "w", stdout) != NULL); // the reports
    atexit(remove_dir);
}

// Takes what stands before the next separator, all if there is none.
static part next_part(part *rest) {
    static const char line[] = "\n----\n";
    const size_t n = sizeof line - 1;
    part p = *rest;
    for (size_t i = 0; i + n <= rest->size; i++)
        if (memcmp(rest->data + i, line, n) == 0) {
            p.size = i;
            *rest = (part){rest->data + i + n, rest->size - i - n};
            return p;
        }
    *rest = (part){rest->data + rest->size, 0};
    return p;
}

// Lines become arguments; none names a file but those of this test.
static int split_arguments(char *text, char *types, char **args) {
    int n = 0;
    for (char *line = text, *end; n < MAX_ARGS && line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (end)
            *end = '\0';
        if (!strchr(line, '/'))
            args[n++] = strcmp(line, "TYPES") == 0 ? types : line;
    }
    return n;
}

static bool never(void) {
    return false;
}

static void carry_out(const plan *p) {
    ingot_error err = {0};
    result r;
    char *name;
    require(quantize_plan_file_name(p, 0, &name, NULL) == INGOT_OK);
    if (ok(run_plan(p, runtime, never, &r, &err), &err)) {
        ingot_gguf *g = NULL;
        require(gguf_open(NULL, name, NULL, NULL, NULL, &g, &err) == INGOT_OK);
        require(ingot_gguf_tensor_count(g) == p->n);
        ingot_gguf_close(g);
        report_table(p, &r, NULL);
        report_json(p, &r, NULL);
    } else {
        require(access(name, F_OK) != 0);
    }
    size_t size = strlen(name) + sizeof ".part";
    char *growing = malloc(size);
    require(growing != NULL);
    snprintf(growing, size, "%s.part", name);
    require(access(growing, F_OK) != 0);
    unlink(name);
    free(growing);
    free(name);
}

static void use_options(options *o, const char *model, const char *imatrix, const char *output) {
    ingot_error err = {0};
    plan p;
    o->input = model;
    o->output = output;
    o->imatrix = o->imatrix ? imatrix : NULL;
    o->json = false;
    if (!ok(quantize_plan_make(o, runtime, &p, &err), &err))
        return;
    bool sound = ok(quantize_plan_check(&p, &err), &err);
    report_json(&p, NULL, sound ? NULL : err.message);
    report_table(&p, NULL, NULL);
    if (sound && p.weights <= SMALL && p.bytes_before <= SMALL * sizeof(float))
        carry_out(&p);
    quantize_plan_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!runtime)
        begin();
    part rest = {data, size}, arguments = next_part(&rest);
    part types = next_part(&rest), imatrix = next_part(&rest);
    temp_path types_path = temp_write(&dir, "types.txt", types.data, types.size);
    temp_path imatrix_path = temp_write(&dir, "imatrix", imatrix.data, imatrix.size);
    temp_path model = temp_write(&dir, "model.gguf", rest.data, rest.size);
    temp_path output = temp_join(&dir, "out");
    char *text = malloc(arguments.size + 1), *args[MAX_ARGS];
    require(text != NULL);
    memcpy(text, arguments.data, arguments.size);
    text[arguments.size] = '\0';
    ingot_error err = {0};
    options o;
    int n = split_arguments(text, types_path.text, args);
    if (ok(options_read(n, args, &o, &err), &err) && !o.help)
        use_options(&o, model.text, imatrix_path.text, output.text);
    options_free(&o);
    free(text);
    return 0;
}

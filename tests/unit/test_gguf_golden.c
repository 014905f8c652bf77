// Files that other programs wrote, read with our reader and written with our writer, come out byte for byte.
// Arguments are further files to try.
#include <glob.h>

#include "check.h"
#include "gguf_bytes.h"
#include "shared.h"
#include "temp.h"

static temp_dir dir;

static uint8_t *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        exit(2);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(*size);
    if (!data || fread(data, 1, *size, f) != *size)
        exit(2);
    fclose(f);
    return data;
}

static void text_of(ingot_str str, char *out, size_t capacity) {
    CHECK(str.size < capacity);
    memcpy(out, str.data, str.size);
    out[str.size] = '\0';
}

static ingot_status copy(const ingot_gguf *g, const char *path, ingot_error *err) {
    ingot_gguf_writer *w = NULL;
    char name[1024];
    TRY(gguf_writer_new(NULL, path, NULL, &w, err));
    ingot_status status = INGOT_OK;
    for (uint64_t i = 0; status == INGOT_OK && i < ingot_gguf_kv_count(g); i++) {
        const ingot_gguf_kv *kv = ingot_gguf_kv_at(g, i);
        text_of(kv->key, name, sizeof name);
        CHECK(ingot_gguf_find(g, name) == &kv->value);
        status = ingot_gguf_writer_kv(w, name, &kv->value, err);
    }
    for (uint64_t i = 0; status == INGOT_OK && i < ingot_gguf_tensor_count(g); i++) {
        const ingot_gguf_tensor *t = ingot_gguf_tensor_at(g, i);
        text_of(t->name, name, sizeof name);
        CHECK(ingot_gguf_find_tensor(g, name) == t);
        status = ingot_gguf_writer_tensor(w, name, t->type, t->n_dims, t->shape, err);
    }
    for (uint64_t i = 0; status == INGOT_OK && i < ingot_gguf_tensor_count(g); i++) {
        const ingot_gguf_tensor *t = ingot_gguf_tensor_at(g, i);
        uint64_t half = t->bytes / 2;
        status = ingot_gguf_writer_data(w, t->data, half, err);
        if (status == INGOT_OK)
            status = ingot_gguf_writer_data(w, (const uint8_t *)t->data + half, t->bytes - half, err);
    }
    if (status == INGOT_OK)
        return ingot_gguf_writer_finish(w, err);
    ingot_gguf_writer_abort(w);
    return status;
}

static void round_trip(const char *path) {
    static int files;
    char name[32];
    ingot_gguf *g = NULL;
    ingot_error err = {0};
    snprintf(name, sizeof name, "copy-%d.gguf", files++);
    temp_path written = temp_join(&dir, name);
    if (gguf_open(NULL, path, NULL, NULL, NULL, &g, &err) != INGOT_OK ||
        copy(g, written.text, &err) != INGOT_OK) {
        fprintf(stderr, "%s\n", err.message);
        CHECK(false);
        ingot_gguf_close(g);
        return;
    }
    size_t size, size2;
    uint8_t *data = slurp(path, &size), *data2 = slurp(written.text, &size2);
    data[4] = 3; // a version 2 comes out as version 3
    bool same = size == size2 && memcmp(data, data2, size) == 0;
    if (!same)
        fprintf(stderr, "%s: the copy differs\n", path);
    CHECK(same);
    free(data);
    free(data2);
    ingot_gguf_close(g);
    remove(written.text);
}

// All files that match `pattern`, of which there must be some.
static void round_trips(const char *folder, const char *pattern) {
    char path[1024];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", folder, pattern);
    int status = glob(path, 0, NULL, &found);
    if (status != 0)
        fprintf(stderr, "%s: no such files\n", path);
    CHECK(status == 0);
    for (size_t i = 0; status == 0 && i < found.gl_pathc; i++)
        round_trip(found.gl_pathv[i]);
    globfree(&found);
}

int main(int argc, char **argv) {
    dir = temp_dir_make();
    round_trips("models", "*.gguf");
    for (int i = 1; i < argc; i++)
        round_trip(argv[i]);
    int missing = 0;
    if (shared_present()) {
        round_trips(shared_folder(), "golden/arch*/*/model.gguf");
        round_trips(shared_folder(), "golden/quantmodel/*.gguf");
        round_trips(shared_folder(), "golden/imatrix/*.gguf");
        round_trips(shared_folder(), "models/*.gguf");
    } else {
        missing = shared_skip();
    }
    temp_dir_remove(&dir);
    int failed = check_report();
    return failed ? failed : missing;
}

// libFuzzer target: any bytes, opened as a GGUF file, are an error or can be read to the last.
#include <stdlib.h>
#include <string.h>

#include "gguf/gguf.h"
#include "gguf_visit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The typed look-ups, on keys that the seeds have with all kinds of types.
static void look_up(const ingot_gguf *g) {
    static const char *const keys[] = {"llama.block_count", "tokenizer.ggml.tokens", "k4", "k6", "a5"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const ingot_gguf_value *value;
        ingot_str text;
        ingot_error err;
        uint32_t numbers[3];
        float number;
        bool yes;
        gguf_get_u32(g, keys[i], true, 1, 512, numbers, &err);
        gguf_get_u32_per_layer(g, keys[i], false, 0, 512, 3, numbers, &err);
        gguf_get_f32(g, keys[i], true, &number, &err);
        gguf_get_bool(g, keys[i], true, &yes, &err);
        gguf_get_str(g, keys[i], true, &text, &err);
        gguf_get_array(g, keys[i], true, INGOT_GGUF_STRING, &value, &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *image; // of exactly this size, so that reading past the end is seen
    if (posix_memalign(&image, 64, size > 0 ? size : 1) != 0)
        return 0;
    if (size > 0)
        memcpy(image, data, size);
    ingot_gguf *g = NULL;
    ingot_error err = {0};
    ingot_status status = gguf_open_memory(NULL, image, size, "fuzz.gguf", &g, &err);
    if (status == INGOT_OK) {
        volatile uint64_t sum = visit_gguf(g);
        (void)sum;
        look_up(g);
    } else if (err.status != status || err.message[0] == '\0') {
        abort(); // an error without its message
    }
    ingot_gguf_close(g);
    free(image);
    return 0;
}

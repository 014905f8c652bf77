// The instruction sets, for those who may not see kernels/.
#include "backend/backend.h"
#include "kernels/kernels.h"
#include "quant/quant.h"

const char *backend_isa_name(int32_t i) {
    const kernels *k = kernels_at(i);
    return k ? k->name : NULL;
}

bool backend_isa_usable(int32_t i) {
    return kernels_usable(i, NULL);
}

ingot_status backend_isa_choose(const char *name, const struct kernels **out, ingot_error *err) {
    return kernels_choose(name, NULL, out, err);
}

int64_t backend_isa_peak(const struct kernels *chosen, int64_t rounds, int32_t *sum) {
    return chosen->peak(rounds, sum);
}

void backend_isa_encode(const struct kernels *chosen, int32_t type, const backend_rows *rows, int64_t begin,
                        int64_t end, uint8_t *dst) {
    const quant_type *t = quant_type_get(type);
    const float *x = rows->x + begin * t->block_size;
    uint8_t *to = dst + begin * t->block_bytes;
    kernels_encode *encode = type < KERNELS_TYPES ? chosen->encoders[type] : NULL;
    if (encode)
        encode(x, end - begin, rows->importance, rows->width, begin * t->block_size % rows->width, to);
    else
        t->encode(x, to, (uint64_t)((end - begin) * t->block_size));
}

void backend_isa_encode_window(const struct kernels *chosen, int32_t type, const backend_rows *rows,
                               int64_t begin, int64_t end, int64_t column, const quant_feedback *feedback,
                               uint8_t *dst) {
    const quant_type *t = quant_type_get(type);
    const int64_t row_bytes = rows->width / t->block_size * t->block_bytes;
    chosen->window_encoders[type](rows->x + begin * rows->width + column, end - begin, rows->width,
                                  rows->importance ? rows->importance + column : NULL, feedback,
                                  dst + begin * row_bytes + column / t->block_size * t->block_bytes,
                                  row_bytes);
}

const char *backend_isa_of(const struct kernels *chosen) {
    return chosen->name;
}

// The instruction sets, for those who may not see kernels/.
#include "backend/backend.h"
#include "kernels/kernels.h"

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

const char *backend_isa_of(const struct kernels *chosen) {
    return chosen->name;
}

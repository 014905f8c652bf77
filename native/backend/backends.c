#include "backend/backend.h"

#define BACKEND(name) extern const backend_ops backend_##name;
#include "backend/backends.def"
#undef BACKEND

static const backend_ops *const table[] = {
#define BACKEND(name) &backend_##name,
#include "backend/backends.def"
#undef BACKEND
};

const backend_ops *backend_at(int32_t i) {
    const int32_t n = (int32_t)(sizeof table / sizeof *table);
    return i >= 0 && i < n ? table[i] : NULL;
}

ingot_status backend_open(const backend_params *params, int32_t device, backend **out, ingot_error *err) {
    const backend_ops *ops = backend_at(0);
    if (ops->version != BACKEND_VERSION)
        return fail(err, INGOT_ERR_UNSUPPORTED, "backend '%s' is of version %u, expected %d", ops->name,
                    ops->version, BACKEND_VERSION);
    return ops->open(params, device, out, err);
}

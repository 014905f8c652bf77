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
    return i >= 0 && i < n && table[i]->version == BACKEND_VERSION ? table[i] : NULL;
}

// avxvnni with the dot products of AVX-512VL: the same operations in another encoding, which other machines
// have.
#define VEC_NAME   avxvnni_evex
#define VEC_DPBUSD _mm256_dpbusd_epi32
#define VEC_DPWSSD _mm256_dpwssd_epi32

#include "kernels/vec/avx2.h"

#include "kernels/table.inc.h"

// Vector primitives for AVX2 with AVX-VNNI: those of AVX2, but a dot product is one instruction.
#define VEC_NAME   avxvnni
#define VEC_DPBUSD _mm256_dpbusd_avx_epi32
#define VEC_DPWSSD _mm256_dpwssd_avx_epi32

#include "kernels/vec/avx2.h"

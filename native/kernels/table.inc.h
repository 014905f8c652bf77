// Everything that one instruction set compiles, and its table. Included once, after a vec/<isa>.h.
#include "kernels/kernels.h"

#include "quant/blocks.h"

#include "kernels/math.inc.h"
#include "kernels/columns.inc.h"
#include "kernels/product.inc.h"
#include "kernels/unpack_32.inc.h"
#include "kernels/unpack_256.inc.h"
#include "kernels/unpack_codebook.inc.h"
#include "kernels/product_float.inc.h"
#include "kernels/encode.inc.h"
#include "kernels/encode_window.inc.h"
#include "kernels/encode_plain.inc.h"
#include "kernels/encode_codebook.inc.h"
#include "kernels/ops.inc.h"
#include "kernels/rotate.inc.h"
#include "kernels/rows.inc.h"
#include "kernels/pages.inc.h"
#include "kernels/attn.inc.h"
#include "kernels/peak.inc.h"

#define TABLE_CONCAT(a, b)  a##b
#define TABLE_SYMBOL(name)  TABLE_CONCAT(kernels_, name)
#define TABLE_STRING_(name) #name
#define TABLE_STRING(name)  TABLE_STRING_(name)

// The products, those of BF16 being `bf16`.
#define TABLE_PRODUCTS(bf16)                                                                                 \
    {                                                                                                        \
        [QUANT_F32] = &f32_product, [QUANT_F16] = &f16_product, [QUANT_BF16] = &(bf16),                      \
        [QUANT_Q4_0] = &q4_0_product, [QUANT_Q4_1] = &q4_1_product, [QUANT_Q5_0] = &q5_0_product,            \
        [QUANT_Q5_1] = &q5_1_product, [QUANT_Q8_0] = &q8_0_product, [QUANT_Q2_K] = &q2_k_product,            \
        [QUANT_Q3_K] = &q3_k_product, [QUANT_Q4_K] = &q4_k_product, [QUANT_Q5_K] = &q5_k_product,            \
        [QUANT_Q6_K] = &q6_k_product, [QUANT_IQ4_NL] = &iq4_nl_product, [QUANT_IQ4_XS] = &iq4_xs_product,    \
        [QUANT_MXFP4] = &mxfp4_product, [QUANT_NVFP4] = &nvfp4_product, [QUANT_Q1_0] = &q1_0_product,        \
        [QUANT_Q2_0] = &q2_0_product, [QUANT_TQ1_0] = &tq1_0_product, [QUANT_TQ2_0] = &tq2_0_product,        \
        [QUANT_IQ2_XXS] = &iq2_xxs_product, [QUANT_IQ2_XS] = &iq2_xs_product,                                \
        [QUANT_IQ2_S] = &iq2_s_product, [QUANT_IQ3_XXS] = &iq3_xxs_product, [QUANT_IQ3_S] = &iq3_s_product,  \
        [QUANT_IQ1_S] = &iq1_s_product, [QUANT_IQ1_M] = &iq1_m_product,                                      \
    }

static const kernels_product *const products[KERNELS_TYPES] = TABLE_PRODUCTS(bf16_product);

static kernels_encode *const encoders[KERNELS_TYPES] = {
    [QUANT_Q4_0] = q4_0_encode_blocks,       [QUANT_Q4_1] = q4_1_encode_blocks,
    [QUANT_Q5_0] = q5_0_encode_blocks,       [QUANT_Q5_1] = q5_1_encode_blocks,
    [QUANT_Q2_K] = q2_k_encode_blocks,       [QUANT_Q3_K] = q3_k_encode_blocks,
    [QUANT_Q4_K] = q4_k_encode_blocks,       [QUANT_Q5_K] = q5_k_encode_blocks,
    [QUANT_Q6_K] = q6_k_encode_blocks,       [QUANT_IQ4_NL] = iq4_nl_encode_blocks,
    [QUANT_IQ4_XS] = iq4_xs_encode_blocks,   [QUANT_MXFP4] = mxfp4_encode_blocks,
    [QUANT_NVFP4] = nvfp4_encode_blocks,     [QUANT_TQ1_0] = tq1_0_encode_blocks,
    [QUANT_TQ2_0] = tq2_0_encode_blocks,     [QUANT_Q1_0] = q1_0_encode_blocks,
    [QUANT_Q2_0] = q2_0_encode_blocks,       [QUANT_IQ2_XXS] = iq2_xxs_encode_blocks,
    [QUANT_IQ2_XS] = iq2_xs_encode_blocks,   [QUANT_IQ2_S] = iq2_s_encode_blocks,
    [QUANT_IQ3_XXS] = iq3_xxs_encode_blocks, [QUANT_IQ3_S] = iq3_s_encode_blocks,
    [QUANT_IQ1_S] = iq1_s_encode_blocks,     [QUANT_IQ1_M] = iq1_m_encode_blocks,
};

static kernels_encode_window *const window_encoders[KERNELS_TYPES] = {
    [QUANT_Q4_0] = q4_0_encode_window,     [QUANT_Q4_1] = q4_1_encode_window,
    [QUANT_Q5_0] = q5_0_encode_window,     [QUANT_Q5_1] = q5_1_encode_window,
    [QUANT_Q2_K] = q2_k_encode_window,     [QUANT_Q3_K] = q3_k_encode_window,
    [QUANT_Q4_K] = q4_k_encode_window,     [QUANT_Q5_K] = q5_k_encode_window,
    [QUANT_Q6_K] = q6_k_encode_window,     [QUANT_IQ4_NL] = iq4_nl_encode_window,
    [QUANT_IQ4_XS] = iq4_xs_encode_window, [QUANT_MXFP4] = mxfp4_encode_window,
    [QUANT_NVFP4] = nvfp4_encode_window,   [QUANT_TQ1_0] = tq1_0_encode_window,
    [QUANT_TQ2_0] = tq2_0_encode_window,   [QUANT_Q1_0] = q1_0_encode_window,
    [QUANT_Q2_0] = q2_0_encode_window,
};

static const kernels_page_type *const page_types[KERNELS_TYPES] = {
    [QUANT_F32] = &f32_pages,   [QUANT_F16] = &f16_pages,   [QUANT_BF16] = &bf16_pages,
    [QUANT_Q8_0] = &q8_0_pages, [QUANT_Q4_0] = &q4_0_pages,
};

#define TABLE(name_of, products_of)                                                                          \
    extern const kernels TABLE_SYMBOL(name_of);                                                              \
    const kernels TABLE_SYMBOL(name_of) = {                                                                  \
        .name = TABLE_STRING(name_of),                                                                       \
        .peak = peak,                                                                                        \
        .rows = VEC_LANES,                                                                                   \
        .products = products_of,                                                                             \
        .quantize = quantize,                                                                                \
        .rms_norm = rms_norm,                                                                                \
        .layer_norm = layer_norm,                                                                            \
        .silu = silu,                                                                                        \
        .gelu = gelu,                                                                                        \
        .gelu_erf = gelu_erf,                                                                                \
        .relu_squared = relu_squared,                                                                        \
        .tanh = tanh_all,                                                                                    \
        .swiglu_oai = swiglu_oai,                                                                            \
        .axpy = axpy,                                                                                        \
        .softmax = softmax,                                                                                  \
        .rotate = rotate,                                                                                    \
        .row_max = row_max,                                                                                  \
        .row_weigh = row_weigh,                                                                              \
        .row_mean = row_mean,                                                                                \
        .row_divide = row_divide,                                                                            \
        .row_adapt = row_adapt,                                                                              \
        .add_squares = add_squares,                                                                          \
        .add_moments = add_moments,                                                                          \
        .encoders = encoders,                                                                                \
        .window_encoders = window_encoders,                                                                  \
        .page_types = page_types,                                                                            \
    }

TABLE(VEC_NAME, products);

#ifdef VEC_BF16

static const kernels_product *const products_with_pairs[KERNELS_TYPES] = TABLE_PRODUCTS(bf16_pairs_product);

TABLE(VEC_BF16, products_with_pairs);

#endif

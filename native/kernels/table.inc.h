// Everything that one instruction set compiles, and its table. Included once, after a vec/<isa>.h.
#include "kernels/kernels.h"

#include "kernels/dot.inc.h"
#include "kernels/ops.inc.h"
#include "kernels/attn.inc.h"

#define TABLE_CONCAT(a, b)  a##b
#define TABLE_SYMBOL(name)  TABLE_CONCAT(kernels_, name)
#define TABLE_STRING_(name) #name
#define TABLE_STRING(name)  TABLE_STRING_(name)

extern const kernels TABLE_SYMBOL(VEC_NAME);
const kernels TABLE_SYMBOL(VEC_NAME) = {
    .name = TABLE_STRING(VEC_NAME),
    .dots = dots,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .silu = silu,
    .gelu = gelu,
    .gelu_erf = gelu_erf,
    .relu_squared = relu_squared,
    .tanh = tanh_all,
    .swiglu_oai = swiglu_oai,
    .axpy = axpy,
    .softmax = softmax,
    .f16_to_f32 = f16_to_f32,
    .f32_to_f16 = f32_to_f16,
    .attend = attend,
};

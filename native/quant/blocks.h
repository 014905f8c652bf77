// The layouts and the scalar arithmetic of all tensor types. <type>.inc.h defines, for type T:
//
//   block_T                                      a block as it lies in the file: bytes only, so any alignment
//   T_decode(const block_T *, float *)           one block to weights, bit for bit as the reference defines
//   it T_encode(const float *, block_T *)           and back, where there is an encoder
//
// Everything is static inline: the row functions of quant.c and the kernels build on the same blocks.
#ifndef INGOT_QUANT_BLOCKS_H
#define INGOT_QUANT_BLOCKS_H

#include "quant/plain.inc.h"
#include "quant/q4_0.inc.h"
#include "quant/q4_1.inc.h"
#include "quant/q5_0.inc.h"
#include "quant/q5_1.inc.h"
#include "quant/q8_0.inc.h"
#include "quant/q8_1.inc.h"
#include "quant/q2_k.inc.h"
#include "quant/q3_k.inc.h"
#include "quant/q4_k.inc.h"
#include "quant/q5_k.inc.h"
#include "quant/q6_k.inc.h"
#include "quant/q8_k.inc.h"
#include "quant/iq2_xxs.inc.h"
#include "quant/iq2_xs.inc.h"
#include "quant/iq3_xxs.inc.h"
#include "quant/iq1_s.inc.h"
#include "quant/iq4_nl.inc.h"
#include "quant/iq3_s.inc.h"
#include "quant/iq2_s.inc.h"
#include "quant/iq4_xs.inc.h"
#include "quant/iq1_m.inc.h"
#include "quant/tq1_0.inc.h"
#include "quant/tq2_0.inc.h"
#include "quant/mxfp4.inc.h"
#include "quant/nvfp4.inc.h"
#include "quant/q1_0.inc.h"
#include "quant/q2_0.inc.h"

#endif

// What instruction sets compile is inlined whatever the compiler thinks of its size: an ISA's unit is one
// flat piece of code behind each entry of its table.
#ifndef INGOT_KERNELS_VEC_INLINE_H
#define INGOT_KERNELS_VEC_INLINE_H

#define INLINE   static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

#endif

#include "kernels/vec/neon_i8mm.h"

#include "kernels/table.inc.h"

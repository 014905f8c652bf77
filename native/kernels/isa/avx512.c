#include "kernels/vec/avx512.h"

#include "kernels/table.inc.h"

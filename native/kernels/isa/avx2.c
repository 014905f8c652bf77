#include "kernels/vec/avx2.h"

#include "kernels/table.inc.h"

#include "kernels/vec/neon_dotprod.h"

#include "kernels/table.inc.h"

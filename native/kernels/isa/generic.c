#include "kernels/vec/generic.h"

#include "kernels/table.inc.h"

#include "kernels/vec/avxvnni.h"

#include "kernels/table.inc.h"

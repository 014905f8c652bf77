#include <stdio.h>

#include "quantize/options.h"

static const char usage[] =
    "usage: quantize [options] IN.gguf [OUT.gguf] TYPE [THREADS]\n"
    "\n"
    "Writes a GGUF model with its weights in fewer bits. Without OUT.gguf the result is "
    "ggml-model-TYPE.gguf\n"
    "beside IN.gguf. TYPE is a name or number of the list below, in any case; THREADS 0, or none, is a "
    "thread\n"
    "for each core.\n"
    "\n"
    "importance matrix:\n"
    "  --imatrix FILE              weigh errors by an importance matrix of llama-imatrix\n"
    "  --include-weights NAME      use only its entries whose names contain NAME (repeatable)\n"
    "  --exclude-weights NAME      don't use those (repeatable)\n"
    "  --effort high               let errors of weights make up for each other, by an importance matrix "
    "of\n"
    "                              `ingot imatrix --moments`; the file loads everywhere and is better\n"
    "\n"
    "which tensor gets which type:\n"
    "  --tensor-type REGEX=TYPE    this tensor type where REGEX is found in the name (repeatable; the first "
    "that\n"
    "                              is found counts)\n"
    "  --tensor-type-file FILE     as many of these, separated by white space\n"
    "  --output-tensor-type T      tensor type of output.weight\n"
    "  --token-embedding-type T    tensor type of the token embeddings\n"
    "  --leave-output-tensor       leave output.weight as it is\n"
    "  --pure                      no mixture: all matrices get the base type\n"
    "  --allow-requantize          also encode what is quantised already, which loses more\n"
    "\n"
    "the file:\n"
    "  --keep-split                as many files as the input has, named OUT-00001-of-0000N.gguf\n"
    "  --prune-layers L,...        leave these layers out and number the others anew\n"
    "  --override-kv KEY=TYPE:VALUE  set a metadata entry: int, float, bool or str (repeatable)\n"
    "\n"
    "this program:\n"
    "  --dry-run                   write nothing; show each tensor, its types, bytes and bits per weight\n"
    "  --max-memory SIZE           for buffers (default 64M; what encoders need comes on top)\n"
    "  --json                      report as JSON; progress and errors, too, as lines of standard error\n"
    "  -h, --help                  show this and end\n"
    "\n"
    "types, with the bits per weight of a model of 8 billion weights:\n";

static const char ending[] =
    "      COPY       as they are (to join a split, prune layers or change metadata)\n"
    "  Q3_K, Q4_K and Q5_K stand for Q3_K_M, Q4_K_M and Q5_K_M. IQ1, IQ2, IQ3_XXS, IQ3_XS and Q2_K_S need\n"
    "  --imatrix.\n"
    "\n"
    "examples:\n"
    "  quantize model-F16.gguf Q4_K_M\n"
    "  quantize --imatrix imatrix.gguf model-F16.gguf small.gguf IQ3_M 8\n"
    "  quantize --tensor-type 'attn_(k|v)=q8_0' model-F16.gguf mixed.gguf Q4_K_M\n"
    "\n"
    "ingot quantize is the same program.\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted (nothing is left behind).\n"
    "Environment: INGOT_ISA forces an instruction set.\n";

void help_print(void) {
    fputs(usage, stdout);
    const filetype *row;
    for (int32_t i = 0; (row = filetype_at(i)); i++)
        printf("  %2d  %-9s  %s\n", row->id, row->name, row->bits);
    fputs(ending, stdout);
}

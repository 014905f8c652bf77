# A unit per instruction set, with that set's flags. Link-time optimisation would mix them, so it is off for these.
include(CheckCSourceCompiles)
check_c_source_compiles("
#ifndef __x86_64__
#error
#endif
int main(void) { return 0; }" INGOT_X86_64)

function(ingot_isa name)
  set_source_files_properties(native/kernels/isa/${name}.c PROPERTIES COMPILE_OPTIONS "-O3;-fno-lto;${ARGN}")
  target_sources(ingot_core PRIVATE native/kernels/isa/${name}.c)
endfunction()

ingot_isa(generic)
if(INGOT_X86_64)
  ingot_isa(avx2 -mavx2 -mfma -mf16c)
  ingot_isa(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512vnni -mavx2 -mfma -mf16c
            -mprefer-vector-width=512)
endif()

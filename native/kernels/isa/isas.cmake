# Flags of the units that are compiled for one instruction set each; no link-time optimisation may mix them.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set_source_files_properties(native/kernels/isa/avx2.c PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-O3")
  set_source_files_properties(native/kernels/isa/avx512.c PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512cd;-mavx2;-mfma;-mf16c;-mprefer-vector-width=512;-O3")
  target_sources(ingot_core PRIVATE native/kernels/isa/avx2.c native/kernels/isa/avx512.c)
endif()
set_source_files_properties(native/kernels/isa/generic.c PROPERTIES COMPILE_OPTIONS "-O3")
target_sources(ingot_core PRIVATE native/kernels/isa/generic.c)

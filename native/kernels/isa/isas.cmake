# A unit per instruction set, with that set's flags. Link-time optimisation would mix them, so it is off for these.
include(CheckCSourceCompiles)

# ingot_isa(NAME TARGET FLAGS...): compiled in where the compiler defines TARGET and knows the flags.
function(ingot_isa name target)
  string(JOIN " " CMAKE_REQUIRED_FLAGS ${ARGN})
  check_c_source_compiles("
#ifndef ${target}
#error
#endif
int main(void) { return 0; }" INGOT_ISA_${name})
  if(INGOT_ISA_${name})
    # Sanitizers and debuggers multiply what is inlined: optimised little, with one instance for all widths of
    # tiles, it compiles in a minute instead of many.
    set(level -O3)
    if((INGOT_FUZZ OR CMAKE_BUILD_TYPE STREQUAL Debug) AND CMAKE_C_COMPILER_ID MATCHES Clang)
      set(level "-O0;-g1;-DVEC_ANY_WIDTH") # no fuzz target multiplies
    elseif(CMAKE_BUILD_TYPE STREQUAL Debug OR (INGOT_SANITIZE AND name STREQUAL generic))
      set(level "-Og;-g1;-DVEC_ANY_WIDTH")
    elseif(INGOT_SANITIZE)
      set(level "-O1;-g1;-DVEC_ANY_WIDTH")
    elseif(name STREQUAL generic)
      set(level -O1)
    endif()
    # GCC leaves the many sums of pairs in an order in which sixteen registers don't hold them.
    if(name STREQUAL avx2 AND level STREQUAL -O3 AND CMAKE_C_COMPILER_ID STREQUAL GNU)
      list(APPEND level -fschedule-insns -fsched-pressure)
    endif()
    # GCC 12 for 64-bit ARM reads codes of some types from wrong addresses otherwise.
    if(name STREQUAL generic AND CMAKE_C_COMPILER_ID STREQUAL GNU)
      list(APPEND level -fno-ivopts)
    endif()
    set_source_files_properties(native/kernels/isa/${name}.c PROPERTIES COMPILE_OPTIONS
                                "${level};-fno-lto;${ARGN}")
    target_sources(ingot_core PRIVATE native/kernels/isa/${name}.c)
    target_compile_definitions(ingot_core PRIVATE INGOT_ISA_${name})
  endif()
endfunction()

ingot_isa(generic __STDC__)
ingot_isa(avx2 __x86_64__ -mavx2 -mfma -mf16c)
ingot_isa(avxvnni __x86_64__ -mavxvnni -mavx2 -mfma -mf16c)
ingot_isa(avx512 __x86_64__ -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512vnni -mavx2 -mfma -mf16c
          -mprefer-vector-width=512)
ingot_isa(neon_dotprod __aarch64__ -march=armv8.2-a+dotprod)
ingot_isa(neon_i8mm __aarch64__ -march=armv8.2-a+dotprod+i8mm)

#!/bin/bash
# run.sh X86_64_BUILD AARCH64_BUILD: the tests of what depends on the CPU, on CPUs that this machine isn't.
set -euo pipefail
cd "$(dirname "$0")/../.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# on QEMU BUILD CPU ISA: in the user mode of that qemu, the CPU must choose the instruction set, and pass.
on() {
    for test in kernels product engine prompt; do
        if ! QEMU_CPU=$3 INGOT_EXPECTED_ISA=$4 timeout 300 "$1" "$2/test_$test" >"$log" 2>&1; then
            cat "$log"
            echo "test_$test failed in $1 on the CPU $3, which should choose $4"
            exit 1
        fi
    done
    echo "$1, $3: chose $4, tests pass"
}

on qemu-x86_64 "$1" Nehalem generic
on qemu-x86_64 "$1" Haswell avx2

export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
on qemu-aarch64 "$2" cortex-a53 generic
on qemu-aarch64 "$2" cortex-a76 neon_dotprod
on qemu-aarch64 "$2" max neon_i8mm

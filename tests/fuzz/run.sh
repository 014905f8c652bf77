#!/bin/bash
# run.sh SECONDS: builds every fuzz target with AddressSanitizer and UndefinedBehaviorSanitizer and lets each
# run that long. The seeds of fuzz_NAME lie in tests/fuzz/corpus/NAME/; what is found to be new stays in
# build/fuzz/corpus/NAME/ for the next time, what fails in build/fuzz/failures/. Fuzzers in Python run as long,
# with the python of the PATH and the package that is installed there.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
build=build/fuzz

mkdir -p $build/failures
if ! printf 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return !d && n; }' |
    clang -x c -fsanitize=fuzzer,address,undefined -o $build/probe - 2>$build/probe.log; then
    cat $build/probe.log >&2
    echo "fuzzing needs clang with the libFuzzer runtime; on Debian: apt-get install clang libclang-rt-14-dev" \
        "(the number is that of clang --version)" >&2
    exit 2
fi

cmake -S . -B $build -G Ninja --log-level=NOTICE -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DINGOT_FUZZ=ON -DINGOT_SANITIZE=address,undefined
cmake --build $build -- --quiet

failed=()
ran=0
for source in tests/fuzz/fuzz_*.c; do
    target=$(basename "$source" .c)
    name=${target#fuzz_}
    corpus=($build/corpus/"$name")
    mkdir -p "${corpus[0]}"
    [ -d "tests/fuzz/corpus/$name" ] && corpus+=("tests/fuzz/corpus/$name")
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0
        -artifact_prefix="$build/failures/$name-")
    [ -f "tests/fuzz/$name.dict" ] && options+=(-dict="tests/fuzz/$name.dict")
    echo "== $target, $seconds s"
    ran=$((ran + 1))
    UBSAN_OPTIONS=print_stacktrace=1 $build/"$target" "${options[@]}" "${corpus[@]}" || failed+=("$target")
done

for source in tests/fuzz/fuzz_*.py; do
    target=$(basename "$source")
    echo "== $target, $seconds s"
    ran=$((ran + 1))
    python "$source" "$seconds" --failures $build/failures || failed+=("$target")
done

if [ ${#failed[@]} -ne 0 ]; then
    echo "failed: ${failed[*]}; give the file in $build/failures/ to $build/TARGET, or to python" \
        "tests/fuzz/TARGET --again, to see it again" >&2
    exit 1
fi
[ $ran -ne 0 ] || { echo "there is no tests/fuzz/fuzz_*.c or .py" >&2; exit 1; }
echo "$ran fuzz targets ran $seconds s each without a failure"

#!/usr/bin/env bash
# Builds the fuzz targets with stable Rust and runs them, two at a time.
#
#   fuzz/run.sh                    every target for 60 s
#   fuzz/run.sh all SECONDS        every target for SECONDS
#   fuzz/run.sh TARGET [SECONDS]   one target
#   fuzz/run.sh TARGET FILE…       one target with these inputs only, to replay a crash
#
# Prints one line per target. After a crash the input is in fuzz/artifacts and, as base64, in the
# output, and the exit status is not 0. What a run learned is kept in target/fuzz/corpus for the next.
set -euo pipefail
cd "$(dirname "$0")/.."

built=target/fuzz
triple=$(rustc -vV | sed -n 's/^host: //p')
mapfile -t targets < <(cd fuzz/fuzz_targets && ls ./*.rs | sed 's,^\./,,; s,\.rs$,,')

# Runs one target that is built, and sums its log up in one line.
run_one() {
    local target=$1 seconds=$2
    local learned=$built/corpus/$target log=$built/$target.log artifacts=fuzz/artifacts/$target
    mkdir -p "$learned" "$artifacts"
    local scratch status=0
    scratch=$(mktemp -d -p "$([ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
    local words=()
    [ ! -f "fuzz/dictionaries/$target.dict" ] || words=("-dict=fuzz/dictionaries/$target.dict")
    TMPDIR=$scratch "$built/$triple/release/$target" "$learned" "fuzz/corpus/$target" "${words[@]}" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix="$artifacts/" >"$log" 2>&1 || status=$?
    rm -rf "$scratch"
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -n 1; }
    local covered
    covered=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1 || true)
    printf '%-15s %9s executions  %6s/s  %5s new inputs  %s  %s\n' "$target" \
        "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" "$(stat new_units_added)" \
        "$covered" "$([ "$status" = 0 ] && echo "no crash" || echo "CRASH (status $status)")"
    [ "$status" = 0 ] && return 0
    # What follows the failed assertion, without the fuzzer's own lines.
    grep -v '^#[0-9]*[[:space:]]*\(NEW\|REDUCE\|pulse\|INITED\|READ\|RELOAD\)' "$log" | tail -n 60
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    if [ -n "$input" ]; then
        echo "the input is $input; replay it with: fuzz/run.sh $target $input"
        echo "as base64: $(base64 -w 0 "$input")"
    fi
    return 1
}

# The flags `cargo fuzz --sanitizer none` uses. Overflow checks and assertions are in the profile.
build() {
    cp Cargo.lock fuzz/Cargo.lock
    local coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
    RUSTFLAGS=$(echo "$coverage --cfg fuzzing" | tr -s ' \n' ' ') CARGO_TARGET_DIR=$built \
        cargo build --release --manifest-path fuzz/Cargo.toml --target "$triple" "$@"
}

if [ "${1:-}" = --one ]; then
    run_one "$2" "$3"
    exit
fi

target=${1:-all}
if [ "$target" != all ] && [ ! -f "fuzz/fuzz_targets/$target.rs" ]; then
    echo "fuzz/run.sh: there is no target $target; there are: ${targets[*]}" >&2
    exit 2
fi
if ! command -v c++ >/dev/null; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends g++ libc6-dev
fi

if [ "$target" = all ]; then
    build
    printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} fuzz/run.sh --one {} "${2:-60}"
elif [[ ${2:-60} =~ ^[0-9]+$ ]]; then
    build --bin "$target"
    run_one "$target" "${2:-60}"
else
    build --bin "$target"
    exec "$built/$triple/release/$target" "${@:2}"
fi

#!/usr/bin/env bash
# Sets up what the tests need, and runs them.
#
#   tests/run.sh          everything, against a real kube-apiserver and etcd (about an hour the first time)
#   tests/run.sh quick    format, lints, unit, property and conformance tests (a few minutes)
#
# Needs Rust and a C compiler with make; everything else is installed (Go, on Debian and Ubuntu) or built here.
set -euo pipefail
cd "$(dirname "$0")/.."

subset=${1:-all}
case $subset in all | quick) ;; *)
    echo "usage: tests/run.sh [quick]" >&2
    exit 2
    ;;
esac

step() { printf '\n== %s (%s)\n' "$1" "$(date +%T)"; }

if ! command -v cargo >/dev/null; then
    echo "tests/run.sh: cargo is missing; install Rust from your distribution or with rustup" >&2
    exit 1
fi
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v make >/dev/null || missing+=(make)
if [ "$subset" = all ]; then
    # A file system whose power is cut, or that is full, is made for the tests that need one.
    command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
    command -v losetup >/dev/null || missing+=(mount)
    command -v perl >/dev/null || missing+=(perl-base)
    # The fuzzing engine is C++.
    command -v c++ >/dev/null || missing+=(g++)
fi
if [ ${#missing[@]} -gt 0 ]; then
    step "installing ${missing[*]}"
    $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --all-features -- -D warnings
step "the program alone"
# Features that only tests switch on are no help to whoever builds it.
cargo check --bins
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

if [ "$subset" = quick ]; then
    step "unit, property and conformance tests"
    cargo test --lib --test architecture --test command_line --test sink_conformance
    exit 0
fi

step "servers of the rig"
tests/rig/build.sh
tests/rig/build.sh kubectl helm actionlint
tests/rig/search/build.sh opensearch-2 elasticsearch-6 elasticsearch-7
# Without a Java for it (3) its test says so, and is left out.
tests/rig/search/build.sh opensearch-3 || [ $? = 3 ]
tests/rig/influxdb.sh
tests/rig/mongodb.sh
tests/rig/kafka/build.sh
tests/rig/unpack.sh promtool prometheus
tests/rig/hadolint.sh
tests/rig/install.sh mariadbd mariadb-server-core
tests/rig/install.sh my_print_defaults mariadb-client-core
tests/rig/install.sh chromedriver chromium-driver
step "clients of other services"
tests/clients/run.sh
step "building the tests"
cargo test --workspace --no-run
# What they print, figures and seeds, is part of the result.
step "unit and property tests"
failed=0
cargo test --workspace --lib --bins --no-fail-fast -- --show-output || failed=1

# Always the whole workspace: what is built depends on what is asked for together.
# These wait for servers, clocks and outages most of their time, so others run beside them.
waiting=(access chat_storm compaction control dead_letters disturbances exclusive guide isolation kafka kill letters log_commands logs
    openapi outage page reload replay restore secrets shutdown sink_outages start terminal transcripts)
others=()
for path in tests/*.rs tests/*/main.rs tests/rig/tests/*.rs; do
    test=${path#tests/} test=${test#rig/tests/} test=${test%/main.rs} test=${test%.rs}
    [[ " ${waiting[*]} mutants " == *" $test "* ]] || others+=(--test "$test")
done

# beside NAME COMMAND...: runs it in the background; what it prints is in target/NAME.txt.
declare -A beside
beside() {
    setsid "${@:2}" >"target/$1.txt" 2>&1 &
    beside[$1]=$!
}
trap 'for group in "${beside[@]}"; do kill -- "-$group" 2>/dev/null || true; done' EXIT

# The lowest priority: it takes what the tests leave of the machine.
beside fuzz nice -n 19 fuzz/run.sh all 60
beside waiting cargo test --workspace "${waiting[@]/#/--test=}" --no-fail-fast -- --show-output
step "tests that keep the machine busy"
cargo test --workspace "${others[@]}" --no-fail-fast -- --show-output || failed=1
for name in waiting fuzz; do
    wait "${beside[$name]}" || failed=1
    step "what ran beside them: $name"
    cat "target/$name.txt"
done
[ "$failed" = 0 ]
step "the test of the tests: deliberate faults are noticed"
cargo test --features faults --test mutants -- --nocapture
cargo test --features faults --test power_loss without_fdatasync -- --nocapture
step "a backlog: memory, disk, restart"
# Dependencies as the tests have them, our own code as in a release: building all anew takes longer than the
# benchmark. Speed is measured by hand, on a quiet machine (docs/performance.md).
own=profile.dev.package.kube-event-relay
cargo bench --profile dev --config "$own.opt-level=3" --config "$own.debug-assertions=false" --bench backlog

#!/usr/bin/env bash
# Sets up what the tests need, and runs them.
#
#   tests/run.sh          everything, against a real kube-apiserver and etcd (about 40 minutes on two cores)
#   tests/run.sh quick    format, lints, unit, property and conformance tests (a few minutes)
#
# Needs Rust; everything else is installed (on Debian) or built here.
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
command -v c++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
# More of Perl than its smallest package has: OpenSSL is configured with it.
perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null || missing+=(perl)
if [ "$subset" = all ]; then
    # A file system whose power is cut, or that is full, is made for the tests that need one.
    command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
    command -v losetup >/dev/null || missing+=(mount)
fi
if [ ${#missing[@]} -gt 0 ]; then
    step "installing ${missing[*]}"
    $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --all-features -- -D warnings
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
tests/rig/install.sh buildah buildah
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
    [[ " ${waiting[*]} mutants deploy " == *" $test "* ]] || others+=(--test "$test")
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
# What is installed. It is built alone: features that only tests switch on are no help to whoever builds it.
beside static deploy/build-static.sh
beside waiting cargo test --workspace "${waiting[@]/#/--test=}" --no-fail-fast -- --show-output
step "tests that keep the machine busy"
cargo test --workspace "${others[@]}" --no-fail-fast -- --show-output || failed=1
# finish NAME: waits for what runs beside, and shows what it printed.
finish() {
    wait "${beside[$1]}" || failed=1
    step "what ran beside: $1"
    cat "target/$1.txt"
}
finish waiting
# Only now: they put another program into the place of the one under test.
step "the test of the tests: deliberate faults are noticed"
cargo test --features faults --test mutants -- --nocapture || failed=1
cargo test --features faults --test power_loss without_fdatasync -- --nocapture || failed=1
finish static
step "installation, with the binary that is installed"
cargo test --workspace --test deploy --no-fail-fast -- --show-output || failed=1
finish fuzz
[ "$failed" = 0 ]
step "a backlog: memory, disk, restart"
# Of what is installed. Speed is measured by hand, on a quiet machine (docs/performance.md).
BACKLOG_PROGRAM=$PWD/target/static/kube-event-relay cargo bench --profile dev --bench backlog

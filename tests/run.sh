#!/usr/bin/env bash
# Sets up what the tests need, and runs them.
#
#   tests/run.sh          everything, against a real kube-apiserver and etcd (about half an hour the first time)
#   tests/run.sh quick    format, lints, unit, property and conformance tests (a few minutes)
#
# Needs Rust and a C compiler; everything else is installed (Go, on Debian and Ubuntu) or built here.
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
if ! command -v cc >/dev/null; then
    step "installing a C compiler"
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends gcc libc6-dev
fi

step "format"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

if [ "$subset" = quick ]; then
    step "unit, property and conformance tests"
    cargo test --lib --test architecture --test command_line --test sink_conformance
    exit 0
fi

step "servers of the rig"
tests/rig/build.sh
step "tests"
cargo test --workspace --no-fail-fast
step "a backlog: memory, disk, restart"
cargo bench --bench backlog

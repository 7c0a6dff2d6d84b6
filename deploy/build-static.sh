#!/usr/bin/env bash
# Builds the binary of the image and of the releases, target/static/kube-event-relay: it needs no library of the system
# it runs on. deploy/Dockerfile, the release workflow and its test (tests/deploy/image.rs) all run this script.
#
# glibc is linked statically rather than musl: since glibc 2.34 it resolves names without loading anything, and the
# compilers and headers of any Debian build it, with no target of Rust's to be installed.
#
# Needs Rust, a C and a C++ compiler, make and perl, on aarch64 also lld (Debian's package), and some fifteen minutes of
# processor time. Runs at the lowest priority.
set -euo pipefail
cd "$(dirname "$0")/.."

architecture=$(uname -m)
target=$architecture-unknown-linux-gnu
# jemalloc is built for one size of pages, and by itself for that of the machine that builds it. Kernels for aarch64 have
# pages of 4, 16 or 64 KiB: what is built for the largest runs on all, and what is built for smaller ones aborts there.
if [[ $architecture = aarch64 ]]; then
    export JEMALLOC_SYS_WITH_LG_PAGE=16
fi
export RUSTFLAGS="-C target-feature=+crt-static"
# No panic passes through C: what it would need for that is left out, and so is each function that nothing calls.
export CFLAGS="-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections" CXXFLAGS="-fno-asynchronous-unwind-tables"
# Functions with the same instructions are kept once, relocations in their short form: seven megabytes less.
link=(-C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=relr)
# On x86_64 Rust brings a linker along that can do this; elsewhere it is the system's.
[[ $architecture = x86_64 ]] || link+=(-C link-arg=-fuse-ld=lld)
nice -n 19 cargo rustc --profile dist --locked --bin kube-event-relay --target "$target" --target-dir target/static \
    -- "${link[@]}"
binary=target/static/kube-event-relay
cp "target/static/$target/dist/kube-event-relay" "$binary.new"
mv "$binary.new" "$binary"

# "statically linked", or "not a dynamic executable", which is a failure of ldd.
if libraries=$(ldd "$binary" 2>&1 | grep '=>\|ld-linux\|not found'); then
    printf 'deploy/build-static.sh: %s needs libraries of the system:\n%s\n' "$binary" "$libraries" >&2
    exit 1
fi
echo "$binary: $(stat -c %s "$binary") bytes, $architecture"

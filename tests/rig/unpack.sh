#!/usr/bin/env bash
# Prints the path of a program: the one on PATH, or else that of the distribution's package (Debian and Ubuntu), which
# is unpacked into target/rig/ and not installed, so that no system service is set up or started.
#
#   unpack.sh PROGRAM PACKAGE
#
# Safe to call from many processes at once, and cheap to call again.
#
#   RIG_OUTPUT   where it goes (default: target/rig of the repository)
set -euo pipefail

name=$1 package=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../target/rig}
mkdir -p "$output"
output=$(cd "$output" && pwd)
program=$output/$package/usr/bin/$name

fail() { echo "tests/rig/unpack.sh: $*" >&2; exit 1; }

if on_path=$(command -v "$name"); then
    echo "$on_path"
    exit 0
fi

exec 9>"$output/$package.lock"
flock 9
if [[ ! -x $program ]]; then
    command -v apt-get >/dev/null || fail "no '$name' on PATH: install it (Debian has it in $package)"
    partial=$output/$package.partial
    rm -rf "$partial"
    mkdir "$partial"
    cd "$partial"
    sudo=$([[ $(id -u) = 0 ]] || echo "sudo --non-interactive")
    # 9>&-: no helper that apt starts may inherit, and so keep, the lock.
    { apt-get download -qq "$package" || { $sudo apt-get update -qq && apt-get download -qq "$package"; }; } >&2 9>&-
    dpkg-deb --extract "$package"_*.deb .
    [[ -x usr/bin/$name ]] || fail "there is no $name in the distribution's package $package"
    rm -rf "${output:?}/$package"
    mv "$partial" "$output/$package"
fi
echo "$program"

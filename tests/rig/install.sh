#!/usr/bin/env bash
# Installs a package of Debian or Ubuntu unless its program is there already.
#
#   install.sh PROGRAM PACKAGE
#
# Safe to call from many processes at once. No service is started.
set -euo pipefail

program=$1 package=$2
there() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$program" >/dev/null; }
there && exit 0

exec 9>"${TMPDIR:-/tmp}/kube-event-relay-install.lock"
flock 9
there && exit 0
if ! command -v apt-get >/dev/null; then
    echo "tests/rig/install.sh: $program is missing; install it (Debian has it in $package)" >&2
    exit 1
fi
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
$sudo apt-get update -q >&2
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" >&2
there

#!/usr/bin/env bash
# Puts the InfluxDB server 1.x that the tests run against into target/rig/influxdb/ and prints the path of influxd:
# one that is on PATH, or else the distribution's package (Debian and Ubuntu), unpacked and not installed, so that no
# system service is set up or started.
#
# Safe to call from many processes at once, and cheap to call again.
#
#   RIG_OUTPUT   where it goes (default: target/rig of the repository)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../target/rig}
mkdir -p "$output"
output=$(cd "$output" && pwd)
program=$output/influxdb/usr/bin/influxd

fail() { echo "tests/rig/influxdb.sh: $*" >&2; exit 1; }

if on_path=$(command -v influxd); then
    [[ $("$on_path" version) == *" v1."* || $("$on_path" version) == *" 1."* ]] || fail "$on_path is not InfluxDB 1.x"
    echo "$on_path"
    exit 0
fi

exec 9>"$output/influxdb.lock"
flock 9
if [[ ! -x $program ]]; then
    command -v apt-get >/dev/null || fail "no 'influxd' on PATH: install InfluxDB 1.x"
    partial=$output/influxdb.partial
    rm -rf "$partial"
    mkdir "$partial"
    cd "$partial"
    sudo=$([[ $(id -u) = 0 ]] || echo "sudo --non-interactive")
    # 9>&-: no helper that apt starts may inherit, and so keep, the lock.
    { apt-get download -qq influxdb || { $sudo apt-get update -qq && apt-get download -qq influxdb; }; } >&2 9>&-
    dpkg-deb --extract influxdb_*.deb .
    [[ -x usr/bin/influxd ]] || fail "there is no influxd in the distribution's package"
    rm -rf "$output/influxdb"
    mv "$partial" "$output/influxdb"
fi
echo "$program"

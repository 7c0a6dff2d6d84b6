#!/usr/bin/env bash
# Puts the InfluxDB server 1.x that the tests run against into target/rig/influxdb/ and prints the path of influxd:
# one that is on PATH, or else that of the distribution's package (unpack.sh).
set -euo pipefail

if on_path=$(command -v influxd); then
    [[ $("$on_path" version) == *" v1."* || $("$on_path" version) == *" 1."* ]] ||
        { echo "tests/rig/influxdb.sh: $on_path is not InfluxDB 1.x" >&2; exit 1; }
fi
exec "$(dirname "${BASH_SOURCE[0]}")/unpack.sh" influxd influxdb

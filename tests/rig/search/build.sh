#!/usr/bin/env bash
# Fetches the search servers that the tests run against into target/rig/search/: the libraries of
# OpenSearch and Elasticsearch from Maven Central, with a small launcher. Nothing of them is distributed.
#
# Safe to call from many processes at once (one fetches, the others wait) and cheap to call again:
# nothing is fetched while the sources' hash is unchanged.
#
#   tests/rig/search/build.sh [SERVER ...]   opensearch-2 (the default), elasticsearch-6, elasticsearch-7
#
#   RIG_OUTPUT   where to put them (default: target/rig of the repository)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../../target/rig}/search
mkdir -p "$output"
output=$(cd "$output" && pwd)
[[ $# -gt 0 ]] || set -- opensearch-2

say() { echo "tests/rig/search/build.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# Product, its version, and the log4j-core it is used with: the last ones that run on Java 17.
versions_of() { # SERVER
    case $1 in
        opensearch-2) echo opensearch 2.19.6 2.25.4 ;;
        elasticsearch-7) echo elasticsearch 7.17.29 2.17.1 ;;
        elasticsearch-6) echo elasticsearch 6.8.23 2.17.1 ;;
        *) fail "there is no server $1" ;;
    esac
}

wanted_stamp() { (cd "$here" && cat build.sh Launcher.java) | sha256sum | cut -d' ' -f1; }

is_current() { [[ -f $output/$1/stamp && $(<"$output/$1/stamp") == "$(wanted_stamp)" ]]; }

# One builder at a time. The kernel drops the lock with the process, however it ends.
exec 9>"$output/build.lock"
if ! flock --nonblock 9; then
    say "waiting for another build"
    flock 9
fi

stale=()
for server in "$@"; do
    versions_of "$server" >/dev/null
    is_current "$server" || stale+=("$server")
done
[[ ${#stale[@]} -gt 0 ]] || exit 0

install_java() {
    command -v apt-get >/dev/null || fail "javac or mvn is missing: install a JDK from 17 on, and Maven"
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null && sudo --non-interactive true 2>/dev/null ||
            fail "no right to install: run 'apt-get install default-jdk-headless maven' as root"
        as_root=(sudo --non-interactive)
    fi
    say "installing the distribution's default-jdk-headless and maven"
    # 9>&-: no helper that apt starts may inherit, and so keep, the lock.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get install -qq -y --no-upgrade --no-install-recommends default-jdk-headless maven ||
        { apt-get update -qq && apt-get install -qq -y --no-upgrade --no-install-recommends default-jdk-headless maven; }
    ' >&2 9>&-
}

command -v javac >/dev/null && command -v mvn >/dev/null || install_java

dependency() { # GROUP ARTIFACT VERSION
    echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"
}

for server in "${stale[@]}"; do
    read -r product version log4j <<<"$(versions_of "$server")"
    say "fetching $product $version"
    started=$SECONDS
    partial=$output/$server.partial
    rm -rf "$partial"
    mkdir -p "$partial/classes"
    cat >"$partial/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rig</groupId><artifactId>$server</artifactId><version>1</version>
  <dependencies>
    $(dependency "org.$product" "$product" "$version")
    $(dependency "org.$product.plugin" transport-netty4-client "$version")
    $(dependency org.apache.logging.log4j log4j-core "$log4j")
  </dependencies>
</project>
POM
    (cd "$partial" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=lib) >&2 9>&-
    sed "s/@PRODUCT@/$product/" "$here/Launcher.java" >"$partial/Launcher.java"
    (cd "$partial" && javac -cp 'lib/*' -d classes Launcher.java) 9>&-
    wanted_stamp >"$partial/stamp"
    rm -rf "${output:?}/$server"
    mv "$partial" "$output/$server"
    say "fetched $product $version in $((SECONDS - started)) s"
done

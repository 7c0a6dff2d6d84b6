#!/usr/bin/env bash
# Fetches the search servers that the tests run against into target/rig/search/: the libraries of
# OpenSearch and Elasticsearch from Maven Central, with a small launcher. Nothing of
# them is distributed.
#
# Safe to call from many processes at once (one fetches, the others wait) and cheap to call again:
# nothing is fetched while the sources' hash is unchanged.
#
#   tests/rig/search/build.sh [SERVER ...]   opensearch-2 (the default), opensearch-3, elasticsearch-6,
#                                            elasticsearch-7
#
# Exit code 3: no Java that is recent enough for opensearch-3 is installed, nor can be.
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

# Product, version, its class for HTTP, the log4j-core it is used with, and the oldest and newest Java for it.
versions_of() { # SERVER
    case $1 in
        opensearch-3) echo opensearch 3.9.0 Netty4ModulePlugin 2.25.5 21 99 ;;
        opensearch-2) echo opensearch 2.19.6 Netty4Plugin 2.25.4 17 23 ;;
        elasticsearch-7) echo elasticsearch 7.17.29 Netty4Plugin 2.17.1 17 23 ;;
        elasticsearch-6) echo elasticsearch 6.8.23 Netty4Plugin 2.17.1 17 23 ;;
        *) fail "there is no server $1" ;;
    esac
}

wanted_stamp() { (cd "$here" && cat build.sh ../java.sh Launcher.java) | sha256sum | cut -d' ' -f1; }

is_current() {
    [[ -f $output/$1/stamp && $(<"$output/$1/stamp") == "$(wanted_stamp)" && -x $(<"$output/$1/java") ]]
}

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

# shellcheck source=tests/rig/java.sh
source "$here/../java.sh"

dependency() { # GROUP ARTIFACT VERSION
    echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"
}

for server in "${stale[@]}"; do
    read -r product version plugin log4j oldest newest <<<"$(versions_of "$server")"
    java=$(find_java "$oldest" "$newest")
    if [[ -z $java ]]; then
        packages=(default-jdk-headless)
        [[ $oldest -le 17 ]] || packages=(openjdk-21-jdk-headless)
        # An error: there is no such package, which shows below.
        install "${packages[@]}" || true
        java=$(find_java "$oldest" "$newest")
    fi
    if [[ -z $java ]]; then
        say "no JDK between $oldest and $newest for $product $version"
        [[ $server != opensearch-3 ]] || exit 3
        exit 1
    fi
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
    sed "s/@PRODUCT@/$product/; s/@PLUGIN@/$plugin/" "$here/Launcher.java" >"$partial/Launcher.java"
    (cd "$partial" && "$java/javac" -cp 'lib/*' -d classes Launcher.java) 9>&-
    echo "$java/java" >"$partial/java"
    wanted_stamp >"$partial/stamp"
    rm -rf "${output:?}/$server"
    mv "$partial" "$output/$server"
    say "fetched $product $version in $((SECONDS - started)) s"
done

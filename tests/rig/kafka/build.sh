#!/usr/bin/env bash
# Fetches Apache Kafka, which the tests run against, into target/rig/kafka/: its libraries from Maven Central, with
# a small program that gives orders to a server. Nothing of it is distributed.
#
# Safe to call from many processes at once (one fetches, the others wait) and cheap to call again:
# nothing is fetched while the sources' hash is unchanged.
#
#   RIG_OUTPUT   where to put it (default: target/rig of the repository)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../../target/rig}/kafka
mkdir -p "$output"
output=$(cd "$output" && pwd)

version=4.4.0
# What Kafka writes its log with; without it a server that does not start says nothing.
slf4j=1.7.36
oldest_java=17

say() { echo "tests/rig/kafka/build.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

wanted_stamp() { (cd "$here" && cat build.sh Orders.java) | sha256sum | cut -d' ' -f1; }

is_current() {
    [[ -f $output/server/stamp && $(<"$output/server/stamp") == "$(wanted_stamp)" && -x $(<"$output/server/java") ]]
}

# One builder at a time. The kernel drops the lock with the process, however it ends.
exec 9>"$output/build.lock"
if ! flock --nonblock 9; then
    say "waiting for another build"
    flock 9
fi
! is_current || exit 0

install() { # PACKAGE ...
    command -v apt-get >/dev/null || return 1
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null && sudo --non-interactive true 2>/dev/null || return 1
        as_root=(sudo --non-interactive)
    fi
    say "installing the distribution's $*"
    # 9>&-: no helper that apt starts may inherit, and so keep, the lock.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get install -qq -y --no-upgrade --no-install-recommends "$@" ||
        { apt-get update -qq && apt-get install -qq -y --no-upgrade --no-install-recommends "$@"; }
    ' sh "$@" >&2 9>&-
}

java_version() { "$1/javac" -version 2>&1 | sed -nE 's/^javac ([0-9]+).*/\1/p'; }

# The folder with the first java and javac that are recent enough.
find_java() {
    local folder version
    for folder in "$(dirname "$(command -v javac || echo /nowhere/javac)")" "${JAVA_HOME:-/nowhere}/bin" /usr/lib/jvm/*/bin; do
        [[ -x $folder/javac && -x $folder/java ]] || continue
        version=$(java_version "$folder")
        if [[ -n $version && $version -ge $oldest_java ]]; then
            echo "$folder"
            return
        fi
    done
}

command -v mvn >/dev/null || install maven || fail "mvn is missing: run 'apt-get install maven' as root"
java=$(find_java)
if [[ -z $java ]]; then
    install default-jdk-headless || fail "a JDK is missing: run 'apt-get install default-jdk-headless' as root"
    java=$(find_java)
fi
[[ -n $java ]] || fail "no JDK from $oldest_java on"

say "fetching Apache Kafka $version"
started=$SECONDS
partial=$output/server.partial
rm -rf "$partial"
mkdir -p "$partial/classes"
cat >"$partial/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>rig</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$slf4j</version></dependency>
  </dependencies>
</project>
POM
(cd "$partial" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=lib) >&2 9>&-
(cd "$partial" && "$java/javac" -cp 'lib/*' -d classes "$here/Orders.java") 9>&-
echo "$java/java" >"$partial/java"
wanted_stamp >"$partial/stamp"
rm -rf "${output:?}/server"
mv "$partial" "$output/server"
say "fetched Apache Kafka $version in $((SECONDS - started)) s"

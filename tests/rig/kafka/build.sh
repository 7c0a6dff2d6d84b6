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

wanted_stamp() { (cd "$here" && cat build.sh ../java.sh Orders.java) | sha256sum | cut -d' ' -f1; }

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

# shellcheck source=tests/rig/java.sh
source "$here/../java.sh"
java=$(find_java "$oldest_java" 99)
if [[ -z $java ]]; then
    install default-jdk-headless || fail "a JDK is missing: run 'apt-get install default-jdk-headless' as root"
    java=$(find_java "$oldest_java" 99)
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

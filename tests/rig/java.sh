# Java and Maven for the servers that come from Maven Central: to be sourced, with `say` and `fail` there.
# shellcheck shell=bash

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

# The folder with the first java and javac between two versions.
find_java() { # OLDEST NEWEST
    local folder version
    for folder in "$(dirname "$(command -v javac || echo /nowhere/javac)")" "${JAVA_HOME:-/nowhere}/bin" /usr/lib/jvm/*/bin; do
        [[ -x $folder/javac && -x $folder/java ]] || continue
        version=$(java_version "$folder")
        if [[ -n $version && $version -ge $1 && $version -le $2 ]]; then
            echo "$folder"
            return
        fi
    done
}

command -v mvn >/dev/null || install maven || fail "mvn is missing: run 'apt-get install maven' as root"

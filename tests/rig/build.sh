#!/usr/bin/env bash
# Builds programs that the tests run into target/rig/, from pinned Go modules:
#
#   build.sh               the real servers, kube-apiserver and etcd
#   build.sh PROGRAM...    of these: kube-apiserver, etcd, kubectl (servers/), helm, actionlint (tools/)
#
# Safe to call from many processes at once (one builds, the others wait) and
# cheap to call again: nothing is built while the sources' hash is unchanged.
#
#   RIG_OUTPUT          where the binaries go (default: target/rig of the repository)
#   KUBEBUILDER_ASSETS  folder with kube-apiserver and etcd to use instead; then
#                       only this rig's etcd is built, which restores snapshots
#   RIG_GO              the go command to use (default: the one on PATH)
set -euo pipefail

# The Go release fetched when the machine has none that is recent enough.
go_release=1.26.8
kubernetes_minor=37

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${RIG_OUTPUT:-$here/../../target/rig}
mkdir -p "$output"
output=$(cd "$output" && pwd)

say() { echo "tests/rig/build.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# One builder at a time. The kernel drops the lock with the process, however it ends.
exec 9>"$output/build.lock"
if ! flock --nonblock 9; then
    say "waiting for another build of the test programs"
    flock 9
fi

programs=("$@")
if [[ ${#programs[@]} -eq 0 ]]; then
    programs=(etcd)
    [[ -n ${KUBEBUILDER_ASSETS:-} ]] || programs+=(kube-apiserver)
fi

# Sets module, package and sources of a program.
locate() { # PROGRAM
    case $1 in
    etcd | kube-apiserver | kubectl) module=servers package=./$1 sources=(build.sh servers/go.mod servers/go.sum "servers/$1/main.go") ;;
    helm) module=tools package=helm.sh/helm/v4/cmd/helm sources=(build.sh tools/go.mod tools/go.sum) ;;
    actionlint) module=tools package=github.com/rhysd/actionlint/cmd/actionlint sources=(build.sh tools/go.mod tools/go.sum) ;;
    *) fail "there is no program '$1' to build" ;;
    esac
}

wanted_stamp() { # PROGRAM
    locate "$1"
    (cd "$here" && cat "${sources[@]}") | sha256sum | cut -d' ' -f1
}

is_current() { # PROGRAM
    [[ -x $output/$1 && -f $output/$1.stamp && $(<"$output/$1.stamp") == "$(wanted_stamp "$1")" ]]
}

stale=()
for program in "${programs[@]}"; do
    is_current "$program" || stale+=("$program")
done
[[ ${#stale[@]} -gt 0 ]] || exit 0

# at_least 1.21 1.26.8: true when the second version is not older than the first.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1) == "$1" ]]; }

# "go version" outside any module, so that go.mod cannot make it download a toolchain.
version_of() { (cd / && GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -nE 's/^go version go([0-9.]+).*/\1/p') || true; }

install_go() {
    command -v apt-get >/dev/null ||
        fail "no 'go' on PATH: install any Go from 1.15 on (a fitting toolchain is fetched by itself)"
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null && sudo --non-interactive true 2>/dev/null ||
            fail "no 'go' on PATH and no right to install it: run 'apt-get install golang-go' as root"
        as_root=(sudo --non-interactive)
    fi
    say "no 'go' on PATH: installing the distribution's package golang-go"
    # 9>&-: no helper that apt starts may inherit, and so keep, the lock.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get install -qq -y --no-upgrade --no-install-recommends golang-go ca-certificates ||
        { apt-get update -qq && apt-get install -qq -y --no-upgrade --no-install-recommends golang-go ca-certificates; }
    ' >&2 9>&-
}

# A Go before 1.21 cannot switch toolchains by itself, but the toolchain is a
# module like any other, so the old one can download it (and checks its sum).
toolchain_by_old_go() { # GO -> path of the new go command
    local architecture module folder
    architecture=$("$1" env GOARCH)
    module=golang.org/toolchain@v0.0.1-go$go_release.linux-$architecture
    folder=$output/go$go_release
    if [[ ! -x $folder/bin/go ]]; then
        say "$("$1" version) is too old: fetching Go $go_release as a Go module (70 MB)"
        local source
        source=$(cd / && GO111MODULE=on GOFLAGS=-mod=mod "$1" mod download -json "$module" |
            sed -nE 's/^[[:space:]]*"Dir": "(.*)",?$/\1/p')
        [[ -d $source ]] || fail "could not download $module"
        rm -rf "$folder.partial"
        cp -R "$source" "$folder.partial"
        chmod -R u+w "$folder.partial"
        # What the go command itself does after unpacking: modules carry neither
        # executable bits nor nested go.mod files.
        chmod -R +x "$folder.partial/bin" "$folder.partial/pkg/tool"
        local nested
        while IFS= read -r nested; do
            cp "$nested" "${nested%_go.mod}go.mod"
        done < <(find "$folder.partial" -name _go.mod)
        mv "$folder.partial" "$folder"
    fi
    echo "$folder/bin/go"
}

go=${RIG_GO:-go}
command -v "$go" >/dev/null || install_go
version=$(version_of "$go")
needed=$(sed -nE 's/^go ([0-9.]+)$/\1/p' "$here/servers/go.mod")
export GOTOOLCHAIN=local GO111MODULE=on
if at_least "$needed" "$version"; then
    :
elif at_least 1.21 "$version"; then
    say "Go $version is too old: it fetches Go $go_release as a module by itself (70 MB)"
    export GOTOOLCHAIN=go$go_release
elif [[ -n $version ]]; then
    go=$(toolchain_by_old_go "$go")
    unset GOROOT
else
    fail "'$go version' tells no version"
fi

# No C compiler, no repository state, no local flags: the same build everywhere.
export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off
version_package=k8s.io/component-base/version
kubernetes=$(sed -nE 's/^\tk8s.io\/kubernetes (v[0-9.]+)$/\1/p' "$here/servers/go.mod")
link_flags="-s -w -X $version_package.gitVersion=$kubernetes -X $version_package.gitMajor=1 -X $version_package.gitMinor=$kubernetes_minor"

for program in "${stale[@]}"; do
    say "building $program (the first time takes minutes)"
    started=$SECONDS
    locate "$program"
    (cd "$here/$module" &&
        "$go" build -buildvcs=false -trimpath -ldflags="$link_flags" -o "$output/$program.new" "$package") 9>&-
    # Renamed, not overwritten: a running server keeps its old file.
    mv "$output/$program.new" "$output/$program"
    wanted_stamp "$program" >"$output/$program.stamp"
    say "built $program in $((SECONDS - started)) s"
done

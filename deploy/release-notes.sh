#!/usr/bin/env bash
# Prints what the changelog says of one version, which is what a release is announced with.
#
#   release-notes.sh X.Y.Z [CHANGELOG]
#
# The section is `## X.Y.Z`, perhaps with a date behind it. It is a fault if there is none, or nothing in it.
set -euo pipefail

version=$1 changelog=${2:-$(dirname "$0")/../CHANGELOG.md}
notes=$(awk -v version="$version" '/^## / { inside = ($2 "" == version); next } inside' "$changelog")
if [[ -z ${notes//[[:space:]]/} ]]; then
    echo "deploy/release-notes.sh: $changelog says nothing of $version; write what changed below a line '## $version'" >&2
    exit 1
fi
echo "$notes"

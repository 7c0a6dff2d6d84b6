#!/usr/bin/env bash
# Types the first command of the README, literally, in a clean clone of what is committed. It takes a release build, so
# tests/run.sh leaves it out; the workflow of the tests runs it on a machine of its own. (What the README types against a
# cluster is typed by tests/deploy/quick_start.rs.)
#
#   CARGO_TARGET_DIR   where to build (default: in the clone)
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone --quiet --no-hardlinks "$source" "$folder/kube-event-relay"
cd "$folder/kube-event-relay"

command=$(sed -n '/^## Two commands$/,/^## /p' README.md | grep -m1 '^cargo run --release -- demo')
echo "\$ $command"
bash -euo pipefail -c "$command" | tee "$folder/printed"
grep --quiet 'every event arrived' "$folder/printed"
# A checkout that was used is as clean as before.
[[ -z $(git status --porcelain) ]]

#!/usr/bin/env bash
# Puts what the image holds into a folder: the binary under both of its names, roots of certificate authorities, time
# zones, and where names are looked up. deploy/Dockerfile runs it, and so does its test (tests/deploy/image.rs).
#
#   image-root.sh BINARY FOLDER
#
# Needs Debian's packages ca-certificates and tzdata.
set -euo pipefail

binary=$1 root=$2
mkdir -p "$root"/{etc/ssl/certs,proc,usr/share,var/lib/kube-event-relay}
install --mode 0755 "$binary" "$root/kube-event-relay"
# The name that the manifests of kube-eventer call.
ln -s kube-event-relay "$root/kube-eventer"
cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
# The zones alone: without the copies that count leap seconds, and without the tables they are made from.
cp --archive /usr/share/zoneinfo "$root/usr/share/"
rm -rf "$root"/usr/share/zoneinfo/{posix,right,localtime,posixrules,tzdata.zi,*.tab,leap*}
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'relay:x:65532:65532::/:/kube-event-relay' >"$root/etc/passwd"
echo 'relay:x:65532:' >"$root/etc/group"
# All that is writable; a volume is mounted here.
chown 65532:65532 "$root/var/lib/kube-event-relay"

#!/bin/bash
# Fetches the runc that runvf is compared with: that of Debian's unstable suite, because the guest's is older than 1.3.
#
# The package is named by its hash, so that every run compares with the same runc. apt's own mirrors are asked for it.
#
# usage: reference.sh DESTINATION
# Writes DESTINATION/runc.
set -euo pipefail
dest=$1
package=pool/main/r/runc/runc_1.3.6+ds1-1_amd64.deb
sha256=8e95d7bdfd22242ae4d48d58e3c277ba2b69dffc4ed8e573b837e6e93925d911

mapfile -t mirrors < <(apt-get indextargets --format '$(REPO_URI)' | sort -u)
for mirror in "${mirrors[@]}"; do
    if /usr/lib/apt/apt-helper download-file "$mirror$package" "$dest/runc.deb" "SHA256:$sha256"; then
        dpkg-deb --fsys-tarfile "$dest/runc.deb" | tar -xO ./usr/sbin/runc > "$dest/runc"
        chmod 755 "$dest/runc"
        rm "$dest/runc.deb"
        exit
    fi
done
echo "no mirror of apt has $package: name a newer package of Debian and its hash in this script" >&2
exit 1

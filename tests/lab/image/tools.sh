#!/bin/bash
# Unpacks the lab's own QEMU with the Debian 13 packages that it needs.
#
# The host's QEMU may be too old or broken: igb appeared in 8.0 (Debian 12 has 7.2), and in 10.0.0–10.0.2 the BARs of
# igb's VFs do not work, so that no VF ever gets a carrier. Debian 13 has 10.0.13 or newer.
#
# usage: tools.sh DESTINATION
set -euo pipefail
dest=$1

mmdebstrap --quiet --variant=minbase \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=qemu-system-x86,qemu-utils,seabios,e2fsprogs \
    trixie "$dest"

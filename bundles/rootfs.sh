#!/bin/bash
# Builds the root file system of a sensor as a tar from Debian 13 packages, the sensor's own files and those in scripts/,
# without an image registry.
#
# usage: rootfs.sh SENSOR DESTINATION.tar        SENSOR is a directory beside this script
#
# The packages are only unpacked: a sensor starts one program, so it needs no package manager and no maintainer scripts.
# (With this variant, mmdebstrap runs no hook after the extract hook.)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
sensor=$here/$1 dest=$2

mapfile -t packages < <(sed 's/#.*//; /^ *$/d' "$sensor/packages")

mmdebstrap --quiet --variant=extract \
    --aptopt='APT::Install-Recommends "false"' \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --extract-hook="'$here/prune.sh' \"\$1\"" \
    --extract-hook="sync-in '$sensor/root' /" \
    --extract-hook="sync-in '$here/scripts' /usr/local/bin" \
    trixie "$dest"

#!/bin/bash
# A sensor's root filesystem as a tar, out of Debian 13 packages and the sensor's own files. No image registry is asked.
#
# usage: rootfs.sh SENSOR DESTINATION.tar        SENSOR is a folder beside this script
#
# The packages are only unpacked: a sensor starts one program, so no package manager, no maintainer script's work and
# none of what those need has to be inside. (With this variant mmdebstrap runs no hook later than the extract hook.)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
sensor=$here/$1 dest=$2

mapfile -t packages < <(sed 's/#.*//; /^ *$/d' "$sensor/packages")

mmdebstrap --quiet --variant=extract \
    --aptopt='APT::Install-Recommends "false"' \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --extract-hook="'$here/prune.sh' \"\$1\"" \
    --extract-hook="sync-in '$sensor/root' /" \
    trixie "$dest"

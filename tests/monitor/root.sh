#!/bin/bash
# Builds a Debian 13 root with the programs that check the monitor's metrics, rules, dashboard and page.
#
# A root of its own, because Ubuntu has no Chromium package, and Debian 12 has an older Prometheus.
#
# usage: root.sh DESTINATION
set -euo pipefail
dest=$1

mmdebstrap --quiet --variant=minbase \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=prometheus,chromium,chromium-driver,fonts-dejavu-core,python3 \
    trixie "$dest"

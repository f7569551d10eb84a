#!/bin/bash
# Builds the X710's device model, a plugin of the lab's QEMU.
#
# usage: x710.sh SOURCES HEADERS TOOLS_ROOT DESTINATION
# Writes DESTINATION/x710.so. HEADERS is the output of x710-headers.sh.
set -euo pipefail
sources=$1 headers=$2 root=$3 dest=$4
mapfile -t paths < <(sed "s|^|-I$headers/|" "$headers/include-paths")

objects=()
for file in "$sources"/*.c; do
    objects+=("$dest/$(basename "$file" .c).o")
done
for object in "${objects[@]}"; do
    file=$sources/$(basename "$object" .o).c
    # The flags of QEMU's own build that change the meaning of the code.
    echo "-std=gnu11 -O2 -fPIC -fvisibility=hidden -fno-strict-aliasing -fno-common -fwrapv \
        -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE -DBUILT_FOR=\\\"$(cat "$headers/version")\\\" \
        -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Werror \
        ${paths[*]} -c $file -o $object"
done | xargs -P "$(nproc)" -L 1 gcc
gcc -shared -Wl,-z,now -o "$dest/x710.so" "${objects[@]}"
rm "${objects[@]}"

# QEMU would refuse a symbol that it does not export only when it loads the device.
missing=$(comm -23 <(nm -u "$dest/x710.so" | awk '$1 == "U" && $2 !~ /@|^g_/ { print $2 }' | sort -u) \
    <(nm -D --defined-only "$root/usr/bin/qemu-system-x86_64" | awk '{ print $3 }' | sort -u))
if [[ $missing ]]; then
    echo "QEMU does not export: $missing" >&2
    exit 1
fi

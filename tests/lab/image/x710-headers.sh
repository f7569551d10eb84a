#!/bin/bash
# Fetches what the X710's device model is built with: the headers of the lab's QEMU and of GLib.
#
# The headers must be of the same version as the QEMU that loads the device, so they come from the source package of the
# installed version, by the apt sources of QEMU's root filesystem.
#
# usage: x710-headers.sh TOOLS_ROOT DESTINATION
# Writes to DESTINATION: version, include-paths, and the folders that include-paths names.
set -euo pipefail
root=$1 dest=$2
version=$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Version}' qemu-system-x86)
echo "$version" > "$dest/version"

apt=$dest/apt
mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial
trap 'rm -rf "$apt"' EXIT
sed -n 'p; s/^deb /deb-src /p' "$root/etc/apt/sources.list" > "$apt/sources.list"
cat > "$apt/apt.conf" << END
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::TrustedParts "$root/etc/apt/trusted.gpg.d";
Dir::State::Lists "$apt/lists";
Dir::State::status "$root/var/lib/dpkg/status";
Dir::Cache "$apt/cache";
APT::Architecture "amd64";
APT::Sandbox::User "root";
END
export APT_CONFIG=$apt/apt.conf
cd "$apt"
apt-get -q update
if ! apt-get -q source --download-only "qemu=$version"; then
    echo "the mirror has no source of QEMU $version any more: remove the folder $(dirname "$root") to fetch a newer QEMU" >&2
    exit 1
fi
apt-get -q download libglib2.0-dev libgio-2.0-dev

mkdir "$dest/qemu" "$dest/generated" "$dest/config"
source=$(basename "$(ls qemu_*.orig.tar.*)")
top=$(tar -tf "$source" 2> /dev/null | head -n 1 | cut -d / -f 1) || true
tar -xf "$source" -C "$dest/qemu" --strip-components=1 \
    "$top"/{include,host/include,qapi,scripts/qapi,scripts/qapi-gen.py}
python3 "$dest/qemu/scripts/qapi-gen.py" -b -o "$dest/generated/qapi" "$dest/qemu/qapi/qapi-schema.json"
for package in libglib2.0-dev libgio-2.0-dev; do
    dpkg-deb -x "$package"_*.deb "$dest/glib"
done

# What QEMU's configure finds out, as far as its headers ask for it. KVM is left out: the headers then declare stubs.
for name in LINUX POSIX TCG PLUGIN IOVEC AF_XDP INT128; do
    echo "#define CONFIG_$name 1"
done > "$dest/config/config-host.h"
echo '#define HOST_X86_64 1
#define CONFIG_QEMU_HELPERDIR "/usr/lib/qemu"' >> "$dest/config/config-host.h"
: > "$dest/config/config-poison.h"
printf '%s\n' config generated qemu/include qemu/host/include/x86_64 qemu/host/include/generic \
    glib/usr/include/glib-2.0 glib/usr/lib/x86_64-linux-gnu/glib-2.0/include > "$dest/include-paths"

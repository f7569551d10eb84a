#!/bin/bash
# Builds the guest: a Debian 13 SR-IOV host with its stock kernel and that of its backports, Docker, Podman and the
# tools of the tests.
#
# usage: guest.sh DESTINATION AUTHORIZED_KEY_FILE
# Writes to DESTINATION: root.img (ext4), vmlinuz, initrd.img, vmlinuz-backports, initrd.img-backports.
set -euo pipefail
dest=$1 key=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d -p "$dest" root.XXXXXX)
trap 'rm -rf --one-file-system "$root"' EXIT
chmod 755 "$root"

packages=(
    linux-image-amd64 initramfs-tools systemd systemd-sysv udev dbus kmod
    iproute2 ethtool openssh-server procps util-linux jq tar
    docker.io docker-cli containerd runc podman crun netavark iptables nftables uidmap apparmor
    tcpdump tcpreplay docker-compose strace
    dpdk-dev  # dpdk-testpmd, which drives a VF by vfio-pci
)

# The files of guest/ are copied before the packages are installed, because initramfs-tools reads its configuration
# during the installation of the kernel.
# shellcheck disable=SC2016 # mmdebstrap expands $1 in the hooks
mmdebstrap --quiet --variant=minbase \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-confold' \
    --essential-hook="sync-in '$here/guest' /" \
    --include="$(IFS=,; echo "${packages[*]}")" \
    --customize-hook='echo runvf-lab > "$1/etc/hostname"' \
    --customize-hook='echo "127.0.0.1 localhost runvf-lab" > "$1/etc/hosts"' \
    --customize-hook='chroot "$1" passwd -d root' \
    --customize-hook="install -D -m 600 '$key' \"\$1/root/.ssh/authorized_keys\"" \
    --customize-hook='chroot "$1" systemctl enable lab-ports.service ssh.service docker.service' \
    --customize-hook='chroot "$1" systemctl disable apt-daily.timer apt-daily-upgrade.timer' \
    --customize-hook='chroot "$1" systemctl mask e2scrub_reap.service fstrim.timer' \
    --customize-hook='sed -n "1s/ trixie / trixie-backports /p" "$1/etc/apt/sources.list" > "$1/etc/apt/sources.list.d/backports.list"' \
    --customize-hook='chroot "$1" apt-get -qq update' \
    --customize-hook='chroot "$1" apt-get -qq install -y -t trixie-backports linux-image-amd64' \
    trixie "$root"

# The older kernel is the stock one.
mapfile -t versions < <(basename -a "$root"/boot/vmlinuz-* | sed s/vmlinuz-// | sort -V)
if ((${#versions[@]} != 2)); then
    echo "two kernels expected, found: ${versions[*]}" >&2
    exit 1
fi
for name in vmlinuz initrd.img; do
    cp "$root/boot/$name-${versions[0]}" "$dest/$name"
    cp "$root/boot/$name-${versions[1]}" "$dest/$name-backports"
done
rm -f "$root"/boot/initrd.img-* "$root"/boot/vmlinuz-*
# Without checksums of metadata: on an emulated CPU they take longer than reading and writing the blocks.
mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -m 0 -d "$root" "$dest/root.img" 8G

# shellcheck shell=bash
# Loads the sensors into Docker and Podman, in the booted guest before it is frozen. /var/lib/runvf-bundles/SENSOR
# contains the sensor's files of bundles/ and its rootfs.tar.
systemctl is-system-running --wait || { systemctl --failed; exit 1; }

for folder in /var/lib/runvf-bundles/*; do
    sensor=$(basename "$folder")
    # The legacy builder, because it needs no plugin and no network.
    DOCKER_BUILDKIT=0 docker build --quiet --tag "runvf/$sensor" --file "$folder/Containerfile" "$folder"
    # Not `podman build`, which reads all files three times, a minute each on an emulated CPU.
    docker save "runvf/$sensor" | podman load --quiet
    podman tag "docker.io/runvf/$sensor" "localhost/runvf/$sensor"
    podman untag "docker.io/runvf/$sensor" "docker.io/runvf/$sensor"

    mkdir -p "$folder/rootfs" "/var/log/runvf/$sensor"
    # The sensor may run as another user than root.
    chmod 1777 "/var/log/runvf/$sensor"
    tar --xattrs --xattrs-include=security.capability -xf "$folder/rootfs.tar" -C "$folder/rootfs"
    rm "$folder/rootfs.tar"
done

# Fill the page cache with the files that a test's first container reads, instead of those that the builds read. The
# snapshot contains the page cache.
sync
echo 3 > /proc/sys/vm/drop_caches
docker run --rm runvf/tcpdump true
podman run --rm runvf/tcpdump true
for tool in tcpdump tcpreplay ip ethtool jq nsenter runc crun; do
    $tool --version > /dev/null 2>&1 || true
done
sync

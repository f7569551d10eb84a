# Runs in the booted guest, once, before it is frozen. /var/lib/runvf-bundles/SENSOR has what bundles/
# has, and the sensor's rootfs.tar.
systemctl is-system-running --wait || { systemctl --failed; exit 1; }

for folder in /var/lib/runvf-bundles/*; do
    sensor=$(basename "$folder")
    # The legacy builder needs neither a plugin nor a network.
    DOCKER_BUILDKIT=0 docker build --quiet --tag "runvf/$sensor" --file "$folder/Containerfile" "$folder"
    # One pass over the files; `podman build` makes three, a minute each on an emulated CPU.
    docker save "runvf/$sensor" | podman load --quiet
    podman tag "docker.io/runvf/$sensor" "localhost/runvf/$sensor"
    podman untag "docker.io/runvf/$sensor" "docker.io/runvf/$sensor"

    mkdir -p "$folder/rootfs" "/var/log/runvf/$sensor"
    tar -xf "$folder/rootfs.tar" -C "$folder/rootfs"
    rm "$folder/rootfs.tar"
done

# What the builds read is no use to a test; what a first container reads is, and stays in the frozen
# page cache.
sync
echo 3 > /proc/sys/vm/drop_caches
docker run --rm runvf/tcpdump true
podman run --rm runvf/tcpdump true
for tool in tcpdump tcpreplay ip ethtool jq nsenter runc crun; do
    $tool --version > /dev/null 2>&1 || true
done
sync

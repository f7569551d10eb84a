#!/bin/bash
# Makes the guest a node for pods: containerd's CRI with runvf, an image for sandboxes, and a CNI plugin.
set -e
runvfctl install containerd > /dev/null
# The sandbox gets no network but its VF. containerd wants an address, and a plugin for `lo`.
mkdir -p /etc/cni/net.d
cat > /tmp/cni << 'PLUGIN'
#!/bin/sh
cat > /dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion": "0.4.0", "interfaces": [{"name": "'"$CNI_IFNAME"'", "sandbox": "'"$CNI_NETNS"'"}],
    "ips": [{"version": "4", "address": "10.1.2.3/24", "interface": 0}]}'
PLUGIN
for folder in /usr/lib/cni /opt/cni/bin; do
    mkdir -p $folder
    install -m 755 /tmp/cni $folder/nothing
    [ -e $folder/loopback ] || install -m 755 /tmp/cni $folder/loopback
done
echo '{"cniVersion": "0.4.0", "name": "nothing", "plugins": [{"type": "nothing"}]}' > /etc/cni/net.d/10-nothing.conflist
# The image that containerd 1.7 uses for sandboxes; there is no registry.
image=$(containerd config dump | sed -n 's/^ *sandbox_image = "\(.*\)"/\1/p')
docker create --name pause runvf/tcpdump > /dev/null
docker commit -c 'CMD ["sleep", "100000"]' pause "$image" > /dev/null
docker rm pause > /dev/null
docker save "$image" runvf/tcpdump | ctr -n k8s.io images import - > /dev/null
docker rmi "$image" > /dev/null
systemctl restart containerd
until cri-client list > /dev/null 2>&1; do sleep 0.1; done

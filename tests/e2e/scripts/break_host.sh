#!/bin/bash
# Breaks the host for the doctor: a PF that is down, the PF $last with VFs that cannot be promiscuous, a VF driver $module
# that cannot be loaded, and a runtime.toml that is not valid.
: "${last:?}" "${module:?}"
ip link set pf1 down
if ethtool --show-priv-flags "$last" | grep -q vf-true-promisc-support; then
    ethtool --set-priv-flags "$last" vf-true-promisc-support off
else
    ip link set "$last" promisc off
fi
modprobe -r "$module"
echo "blacklist $module" > /etc/modprobe.d/x.conf
echo 'engine = 7' > /etc/runvf/runtime.toml

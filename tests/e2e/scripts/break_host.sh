#!/bin/bash
# Breaks the host for the doctor: a PF that is down, a PF that is not promiscuous, a driver that cannot be loaded, and a
# runtime.toml that is not valid.
ip link set pf1 down
ip link set pf2 promisc off
modprobe -r igbvf
echo 'blacklist igbvf' > /etc/modprobe.d/x.conf
echo 'engine = 7' > /etc/runvf/runtime.toml

#!/bin/bash
# Purges the package, and prints nothing but the configuration if no other file of runvf is left on the host.
dpkg -P runvf
grep sensors /etc/runvf/config.toml
dpkg -l > /tmp/after
diff /tmp/before /tmp/after
! find / -xdev -name '*runvf*' -not -path '/proc/*' -not -path '/var/lib/docker/*' -not -path '/var/lib/containers/*' \
    -not -path '/var/lib/containerd/*' -not -path '/tmp/*' -not -path '/root/target/*' -not -path '/etc/runvf*' \
    -not -path '/var/lib/runvf-bundles*' -not -path '/var/log/*' | grep .

# shellcheck shell=bash
# Prepares the guest: all VFs exist, and the bundles are in /tmp.
set -e
# shellcheck source=functions.sh
. /tmp/bench.sh
rm -f /tmp/bench.left
config_all
setup_all
settled
bundle true '["true"]' '{}'
bundle plain '["sleep", "1000"]' '{}'
bundle sensor '["sleep", "1000"]' '{"io.runvf.vlan": "100"}'
# Undo the lab's setting for Go programs (GOGC), because runc and Docker are the reference here. bench-guest runs
# without it, too.
rm /etc/systemd/system.conf.d/lab.conf
systemctl daemon-reexec
systemctl restart containerd docker
# No timer may run during the measurement.
systemctl stop systemd-tmpfiles-clean.timer runvf-gc.timer 2> /dev/null || true

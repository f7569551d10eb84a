# A host with all VFs there, and bundles.
set -e
. /tmp/bench.sh
for pf in pf0 pf1 pf2; do echo 7 > /sys/class/net/$pf/device/sriov_numvfs; done
until [ $(ls -d /sys/class/net/pf?/device/virtfn*/net/enp* | wc -l) = 21 ]; do sleep 0.1; done
udevadm settle
bundle true '["true"]' '{}'
bundle plain '["sleep", "1000"]' '{}'
bundle sensor '["sleep", "1000"]' '{"io.runvf.vlan": "100"}'
# What the lab does for Go programs is done for none here: they are the yardstick. The shells of this are without it, too.
rm /etc/systemd/system.conf.d/lab.conf
systemctl daemon-reexec; systemctl restart containerd docker
# Nothing that comes by itself in the middle.
systemctl stop systemd-tmpfiles-clean.timer runvf-gc.timer 2> /dev/null || true

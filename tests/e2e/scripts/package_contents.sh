#!/bin/bash
# Checks the timer, the files, the manual pages and the completions of the installed package. The guest's dpkg leaves out
# manual pages and documents.
systemctl is-active runvf-gc.timer
# With `! grep -q`, `set -e` would not end the script.
# shellcheck disable=SC2143
[ -z "$(dpkg --verify runvf | grep -vE '/usr/share/(man|doc)/')" ]
dpkg-deb --fsys-tarfile /root/target/runvf_one.deb | tar t | grep -c '/man1/runvf.1.gz\|/man1/runvfctl-status.1.gz' | grep 2
bash -c 'source /usr/share/bash-completion/completions/runvfctl; complete -p runvfctl'
# An image's own annotations reach the runtime under an older Podman (podman#18542).
dpkg-deb -f /root/target/runvf_one.deb Breaks | grep -x 'podman (<< 4.5.1~)'
# A user who may start containers must not fill the disk with refusals.
grep -x ' *maxsize 50M' /etc/logrotate.d/runvf
# Only `runvfctl install podman` registers runvf with Podman.
# shellcheck disable=SC2143
[ -z "$(dpkg-deb --fsys-tarfile /root/target/runvf_one.deb | tar t | grep 50-runvf.conf)" ]

#!/bin/bash
# Checks the timer, the files, the manual pages and the completions of the installed package. The guest's dpkg leaves out
# manual pages and documents.
systemctl is-active runvf-gc.timer
# With `! grep -q`, `set -e` would not end the script.
# shellcheck disable=SC2143
[ -z "$(dpkg --verify runvf | grep -vE '/usr/share/(man|doc)/')" ]
dpkg-deb --fsys-tarfile /root/target/runvf_one.deb | tar t | grep -c '/man1/runvf.1.gz\|/man1/runvfctl-status.1.gz' | grep 2
bash -c 'source /usr/share/bash-completion/completions/runvfctl; complete -p runvfctl'

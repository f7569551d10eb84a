#!/bin/bash
# Limits that are exceeded. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run -d --name everyday --memory 24m --memory-swap 24m -v $dir:/m $image sh -c 'until [ -e /m/go ]; do sleep 0.1; done; exec tail /dev/zero' > /dev/null
# containerd watches for OOM kills only once the container runs, so its report may come after the end of the container.
# conmon often learns of the kill too late. Both are the same with every runtime.
touch go; echo "= $($engine wait everyday)"
[ $engine = podman ] || wait_for says everyday .State.OOMKilled true
$engine rm everyday > /dev/null
try $run --rm --pids-limit 30 --ulimit fsize=1000 $image sh -c 'head -c 2000 /dev/zero > /tmp/f; echo "= $?, $(stat -c %s /tmp/f)"
    for n in 0 1 2 3 4 5 6 7 8 9; do for m in 0 1 2 3; do sleep 9 & done; done; echo more than allowed' 2> /dev/null

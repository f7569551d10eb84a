#!/bin/bash
# Namespaces of the host and of other containers. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
ns='for n in cgroup ipc net pid uts; do readlink /proc/self/ns/$n; done'
sh -c "$ns" > host
compare() { while read -r here && read -r there <&3; do [ $here = $there ] && echo "${here%:*} is the same" || echo "${here%:*} is another"; done < $1 3< $2; }
$wired --rm --pid host --ipc host --uts host --network host $image sh -c "$ns" > shared 2> warnings; compare host shared
$run -d --name everyday --ipc shareable $image sleep 1000 > /dev/null
$engine exec everyday sh -c "$ns" > first; compare host first
$wired --rm --pid container:everyday --ipc container:everyday --network container:everyday $image sh -c "$ns" > second 2>> warnings; compare first second
remove

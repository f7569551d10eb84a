#!/bin/bash
# Mounts that are refused, flags of volumes, a read-only container, long paths. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
mkdir n; mount -t tmpfs -o noexec,nosuid,nodev none n
printf '#!/bin/sh\necho executed\n' > n/program; chmod 755 n/program
for place in /proc /proc/sys /proc/self/attr; do $run --rm -v $dir/n:$place $image true > /dev/null 2>&1 && echo "$place ran" || echo "$place refused"; done
echo emulated > uptime; $run --rm -v $dir/uptime:/proc/uptime $image cat /proc/uptime
for how in '' :ro; do $run --rm -v $dir/n:/n$how $image sh -c 'exec 2>&1; /n/program; grep " /n " /proc/mounts'; done
# Only Podman has the option for a volume.
if [ $engine = podman ]; then
    $run --rm -v $dir/n:/n:exec $image /n/program
else
    $run --rm --tmpfs /x:exec -v $dir/n:/n $image sh -c 'cp /n/program /x; /x/program'
fi
umount n
[ $engine = podman ] && only=--read-only-tmpfs=false || only='--tmpfs /t:ro'
$run --rm --read-only $only $image sh -c 'exec 2>&1
    for f in /dev/x /dev/shm/x /t/x /etc/x; do touch $f && echo $f written; done; while read -r _ at kind flags _; do case $at in /dev*|/t) echo $at $kind $flags;; esac; done < /proc/mounts | sort'
long=$dir/$(printf '%0200d/%0200d' 1 2); mkdir -p $long; echo kept > $long/file
$run --rm -v $long:/long $image cat /long/file
[ $engine = docker ] || $run --rm -v $long:/long:O $image sh -c 'echo more >> /long/file; cat /long/file'
cat $long/file

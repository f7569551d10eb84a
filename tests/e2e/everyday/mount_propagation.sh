#!/bin/bash
# Volumes, and later mounts of the host in them. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
for how in '' :rslave; do
    mkdir -p $dir/v/sub; mount --bind $dir/v $dir/v; mount --make-shared $dir/v
    $run -d --name everyday -v $dir/v:/v$how $image sleep 1000 > /dev/null
    mount -t tmpfs none $dir/v/sub; touch $dir/v/sub/late
    echo "$how: $($engine exec everyday ls /v/sub)"; $engine exec everyday grep ' /v' /proc/self/mountinfo | grep -c shared:
    umount $dir/v/sub; remove; umount $dir/v
done

#!/bin/bash
# Devices at existing paths. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
mkdir $dir/nodes; mknod $dir/nodes/there c 1 3
$run --rm --device $dir/nodes/there:/dev/nodes/there -v $dir/nodes:/dev/nodes --device /dev/null:/dev/twice --device /dev/zero:/dev/twice \
    $image ls -l /dev/nodes /dev/twice 2>&1 | grep -oE 'there$|/dev/twice$'
$run --rm --privileged -v /dev/input:/dev/input $image ls /dev/input | wc -l

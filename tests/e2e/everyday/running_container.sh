#!/bin/bash
# Logs, pause, files, statistics and limits of a running container. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run -d --name everyday --memory 128m $image sh -c 'echo started; exec sleep 1000' > /dev/null
wait_for sh -c "$engine logs everyday | grep started"; $engine logs everyday
$engine pause everyday > /dev/null; of everyday .State.Status; try $engine exec everyday true 2> /dev/null | tail -n 1
$engine unpause everyday > /dev/null; of everyday .State.Status
$engine stats --no-stream --format '{{.Name}} {{.PIDs}}' everyday
$engine update --memory 256m --memory-swap 512m --cpus 0.5 --pids-limit 66 everyday > /dev/null
$engine exec everyday sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'
echo copied > file; $engine cp file everyday:/tmp/file; $engine exec everyday cat /tmp/file; $engine cp everyday:/tmp/file back; cat back
$engine diff everyday | sort
$engine commit everyday everyday-image > /dev/null 2>&1; $run --rm everyday-image cat /tmp/file; $engine rmi everyday-image > /dev/null
remove

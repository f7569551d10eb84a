#!/bin/bash
# Stopping, signals, starting again. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run -d --name everyday $image sh -c 'trap "echo usr1" USR1; trap "echo term; exit 5" TERM; echo ready; while :; do sleep 0.1; done' > /dev/null
wait_for sh -c "$engine logs everyday | grep ready"; $engine kill -s USR1 everyday > /dev/null; wait_for sh -c "$engine logs everyday | grep usr1"
$engine stop -t 20 everyday > /dev/null; of everyday .State.ExitCode; $engine logs everyday
$engine start everyday > /dev/null; $engine kill everyday > /dev/null; $engine wait everyday
$engine restart -t 0 everyday > /dev/null; of everyday .State.Running; $engine stop -t 0 everyday > /dev/null; of everyday .State.Running
$engine rm everyday > /dev/null
$run --name everyday $image echo again; $engine start -a everyday; $engine rm everyday > /dev/null

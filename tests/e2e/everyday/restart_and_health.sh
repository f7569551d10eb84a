#!/bin/bash
# Restart policy, and a health check. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run -d --name everyday --restart on-failure:1 $image sh -c 'exit 9' > /dev/null
wait_for says everyday .RestartCount 1; wait_for says everyday .State.Status exited; of everyday '.RestartCount}} {{.State.ExitCode'
$engine rm everyday > /dev/null
$run -d --name everyday --health-cmd 'test -e /healthy' --health-interval 2s --health-retries 1 $image sleep 1000 > /dev/null
wait_for says everyday .State.Health.Status unhealthy; of everyday .State.Health.Status
$engine exec everyday touch /healthy; wait_for says everyday .State.Health.Status healthy; of everyday .State.Health.Status
remove

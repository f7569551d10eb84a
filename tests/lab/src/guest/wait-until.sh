# shellcheck shell=bash
# Polls the function `condition` until it succeeds. Fails after LIMIT seconds.
#
# SECONDS counts the seconds of bash itself, so a change of the clock does not matter.
SECONDS=0
until (condition); do
    ((SECONDS < LIMIT)) || exit 1
    sleep 0.05
done

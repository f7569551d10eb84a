#!/bin/bash
# Twenty attaches start as soon as the exclusive lock is released. Prints the exit status and the error of each.
# shellcheck source=hook_calls.sh
source /tmp/functions
for i in $(seq 20); do holder "c$i" $((99 + i)); done
exec 8> /tmp/go
flock 8
for i in $(seq 20); do
    (
        exec 8>&- 9< /tmp/go
        flock -s 9
        exec 9<&-
        exec "$hook" attach < "/tmp/c$i.state" 2> "/tmp/c$i.err"
    ) &
    pids[i]=$!
done
exec 8>&-
for i in $(seq 20); do
    wait "${pids[i]}"
    echo "$? $(cat "/tmp/c$i.err")"
done 2> /dev/null

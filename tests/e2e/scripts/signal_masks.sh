#!/bin/bash
# After bundle.sh: prints the exit status of a process that writes to a pipe without a reader, and the signal masks of an
# init process and of a process that exec adds. The caller of the last two ignores signals.
: "${runtime:?}"
masks=(grep -e ^SigBlk -e ^SigIgn /proc/self/status)
write_config ".process.args = [\"sh\", \"-c\", \"{ { yes 2> /dev/null; echo \$? >&3; } | head -n 1 > /dev/null; } 3>&1; ${masks[*]}\"]"
"$runtime" run --bundle . test < /dev/null 2>&1
trap '' HUP TERM USR1
write_config .
"$runtime" run -d --bundle . test < /dev/null > /dev/null 2>&1
"$runtime" exec test "${masks[@]}"
"$runtime" exec test grep ^SigIgn /proc/1/status
"$runtime" delete --force test

#!/bin/bash
# After bundle.sh: processes of user 7 in the foreground, without a terminal of their own, on the terminal and the files
# of the operator. Prints the owners of both while the processes run, and afterwards.
: "${runtime:?}"
# shellcheck disable=SC2329  # script(1) calls it
owners() {
    touch /tmp/d/out /tmp/d/err
    terminal=$(tty)
    "$@" > /tmp/d/out 2> /tmp/d/err &
    until grep -q ready /tmp/d/out; do sleep 0.1; done
    stat -c 'during: %u' "$terminal" /tmp/d/out /tmp/d/err
    echo > /tmp/d/go
    wait $!
    stat -c 'after: %u' "$terminal" /tmp/d/out /tmp/d/err
    "$@"
    stat -c 'on the terminal: %u' "$terminal"
    rm -f /tmp/d/go /tmp/d/out /tmp/d/err
}
export -f owners
export runtime
mounts='.mounts += [{"destination": "/d", "type": "bind", "source": "/tmp/d", "options": ["rbind"]}]'
program='echo ready; until [ -e /d/go ]; do sleep 0.1; done'
write_config "$mounts | .process.user = {uid: 7, gid: 7} | .process.args = [\"sh\", \"-c\", \"$program\"]"
script -qec 'owners $runtime run --bundle . test' /dev/null < /dev/null | tr -d '\r' | grep :
write_config "$mounts"
"$runtime" run -d --bundle . test < /dev/null > /dev/null 2>&1
export program
script -qec 'owners $runtime exec --user 7:7 test sh -c "$program"' /dev/null < /dev/null | tr -d '\r' | grep :
"$runtime" delete --force test

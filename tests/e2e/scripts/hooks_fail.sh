#!/bin/bash
# After hooks.sh: $hook replaces the hook of each stage in turn. Prints the exit statuses, and whether the process, the
# next hook of the stage and the poststop hook ran.
: "${runtime:?}" "${stages:?}" "${hook:?}"
for stage in $stages; do
    write_config "\"$stage\" as \$stage | .hooks.$stage = [$hook, {path: \"/tmp/h/hook\", args: [\"hook\", \"next\"]}]"
    create
    created=$?
    start
    started=$?
    [ $started = 0 ] && settle
    if [ "$stage" = poststart ]; then
        # It fails the create of runc 1.1 and the start of runvf. In both cases the error is reported and no process lives on.
        [ $created$started != 00 ] && echo "$stage: reported"
        "$runtime" delete h > /dev/null 2>&1
    else
        echo "$stage: create $created, start $started, $(status)"
    fi
    [ "$stage" = poststop ] || [ "$stage" = poststart ] || ran process
    [ "$stage" = poststop ] || ran next
    [ "$stage" = poststart ] || [ -z "$(status)" ] || remove
    ran poststop
    status
    pgrep -fx 'sleep 998'
    [ "$stage" = startContainer ] ||
        grep -qiE 'exit ?(status|code)|timeout' log/create log/start log/delete 2> /dev/null || echo 'no error is printed'
done
rm -rf /tmp/h

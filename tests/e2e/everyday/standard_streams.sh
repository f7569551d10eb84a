#!/bin/bash
# The standard streams of other users than root. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
inside='echo out > /dev/stdout; echo err > /dev/stderr; stat -L -c %u /proc/self/fd/1 /proc/self/fd/2; id -u'
try $run --rm --user 1000:5 $image sh -c "$inside" 2> err; cat err
$run -d --name everyday $image sleep 1000 > /dev/null
try $engine exec -u 1000 everyday sh -c "$inside" 2> err; cat err
echo typed | try $engine exec -i -u 1000 everyday sh -c 'cat < /dev/stdin'
inside='tty; stat -c "%u %g" $(tty); echo written > $(tty); echo to all > /dev/stderr; id; grep -e Cap -e NoNew -e Seccomp: /proc/self/status'
script -qec "timeout 60 $run --rm -it --user 1000:5 $image sh -c '$inside'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
script -qec "timeout 60 $engine exec -it -u 1000:5 everyday sh -c '$inside'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
script -qec "timeout 60 $engine exec -it everyday sh -c '$inside'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
remove

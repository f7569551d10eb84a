#!/bin/bash
# Processes that exec adds. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run -d --name everyday --env A=a --cap-add MKNOD $image sleep 1000 > /dev/null
try $engine exec everyday sh -c 'echo inside; exit 4'
echo hello | $engine exec -i everyday cat
$engine exec --user 5:6 --workdir /usr --env B=b everyday sh -c 'id; pwd; echo $A $B; cat /proc/self/attr/current
    while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:|Groups:) echo $key $value;; esac; done < /proc/self/status'
$engine exec --privileged everyday sh -c 'while read -r key value; do case $key in Cap*|Seccomp:) echo $key $value;; esac; done < /proc/self/status'
try $engine exec everyday /no/such/program > /dev/null 2>&1; try $engine exec everyday /no/such/program 2> /dev/null | tail -n 1
try $engine exec everyday /etc/passwd 2> /dev/null | tail -n 1
try $engine exec --workdir /no/such everyday true 2> /dev/null | tail -n 1
$engine exec -d everyday sh -c 'echo detached > /detached' > /dev/null; wait_for $engine exec everyday test -s /detached; $engine exec everyday cat /detached
$engine top everyday | awk '{ print $NF }'
remove

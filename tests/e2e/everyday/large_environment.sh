#!/bin/bash
# A large environment, and many arguments. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086,SC2046
for n in $(seq 38); do echo V$n=$(head -c 50000 /dev/zero | tr '\0' x); done > ./env
$run --rm --env-file env $image sh -c 'env | wc -c > /tmp/n; read n < /tmp/n; [ $n -gt 1900000 ] && echo all of it; echo $#' sh $(seq 2000)

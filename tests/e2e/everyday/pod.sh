#!/bin/bash
# A pod. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$engine pod create --name everyday --infra=false > /dev/null
$run -d --pod everyday --name first $image sleep 1000 > /dev/null; $engine exec first echo in the pod
$engine pod stop -t 0 everyday > /dev/null 2>&1; of first .State.Status; $engine pod rm -f everyday > /dev/null

#!/bin/bash
# Output, input and exit codes. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
try $wired --rm $image sh -c 'echo out; echo err >&2; exit 3' 2> err; cat err
echo hello | try $run --rm -i $image cat
try $run --rm $image /no/such/program 2> /dev/null
try $run --rm $image /etc/passwd 2> /dev/null
try $run --rm -v /no/such:relative $image true 2> /dev/null

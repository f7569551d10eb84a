#!/bin/bash
# After bundle.sh: the entries of --log after a command that succeeds and after one that fails, with a field that the
# specification does not have.
: "${runtime:?}"
for program in true /no/such/program; do
    write_config ".process.args = [\"$program\"] | .linux.noSuchField = 1"
    rm -f log
    "$runtime" --log log --log-format json run --bundle . test < /dev/null > out 2>&1 && status=0 || status=$?
    echo "$program = $status"
    jq -r '[.level, .msg] | join(": ")' log
done
# Podman takes the whole file as one value.
jq -es length log

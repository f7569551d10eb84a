#!/bin/bash
# After hooks.sh: prints the order of the hooks, and the state, the place and the pid that each one gets.
: "${stages:?}"
write_config .
create
cp log/order log/created
start
settle
remove
# Unquoted, because the order is printed as one line.
# shellcheck disable=SC2046,SC2005
echo $(grep -vx poststart log/order)
grep -cx poststart log/order
where() {
    if [ "$(cat "log/$1.ns")" = "$(readlink /proc/self/ns/net /proc/self/ns/mnt)" ]; then echo host; else echo container; fi
}
for stage in $stages; do
    jq -r '[.id, .bundle, .annotations["of.test"]] | join(" ")' "log/$stage.state"
    # shellcheck disable=SC2046
    echo "$stage" in the "$(where "$stage")" $(jq -r --arg pid "$(cat log/pid)" \
        '.status, (if (.pid // 0 | tostring) == $pid then "init" else .pid // 0 end)' "log/$stage.state")
done | uniq
cmp log/startContainer.ns log/process.ns
grep -x poststart log/created
rm -rf /tmp/h

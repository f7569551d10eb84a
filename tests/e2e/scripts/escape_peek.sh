#!/bin/bash
# After escapes.sh: a process looks into a created container in its pid namespace; and the session keyring of processes.
: "${runtime:?}"
copy_root
mkdir /tmp/e/root/perl
cp /usr/bin/perl /tmp/peek.pl /tmp/e/root/perl
write_config '.process.args = ["sleep", "1000"]'
run a
write_config ".process.args = [\"sleep\", \"1000\"]
    | .linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$("$runtime" state a | jq .pid)/ns/pid\" else . end)"
"$runtime" create --bundle /tmp/e b < /dev/null > /dev/null 2>&1
write_config .
"$runtime" exec a /perl/perl /perl/peek.pl < /dev/null
"$runtime" delete -f b
"$runtime" delete -f a

# A container has a session keyring of its own, which a process that exec adds gets, too; or the keyring of the caller
# with --no-new-keyring.
keyring='printf "%x\n", syscall 250, 0, -3, 0'
# shellcheck disable=SC2001
write_config ".process.args = [\"/perl/perl\", \"-e\", \"\$| = 1; $(echo "$keyring" | sed 's/[\\"]/\\&/g'); sleep 1000\"]"
for option in '' --no-new-keyring; do
    "$runtime" run -d ${option:+"$option"} --bundle /tmp/e k < /dev/null > /tmp/e/first 2>&1
    until [ -s /tmp/e/first ]; do sleep 0.1; done
    [ "$("$runtime" exec k /perl/perl -e "$keyring" < /dev/null)" = "$(cat /tmp/e/first)" ] && echo 'keyring: the same'
    [ "$(perl -e "$keyring")" = "$(cat /tmp/e/first)" ] && echo 'keyring: of the host'
    "$runtime" delete -f k
done
rm -rf /tmp/e

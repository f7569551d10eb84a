#!/bin/bash
# After escapes.sh: a PATH through every descriptor, for an init process, for an init process on a root that cannot be
# executed as it is mounted, and for a process that exec adds.
: "${runtime:?}"
copy_root
mkdir -p /var/escape /run/e
cp /usr/bin/echo /var/escape/program
PATH_OF_ALL=$(for n in $(seq 3 60); do printf '%s:' "/proc/self/fd/$n/../../../../../../../../var/escape"; done)
look=".process.args = [\"program\", \"hidden\"] | .process.env = [\"PATH=$PATH_OF_ALL\"]"
write_config "$look"
try 'the first process'
cp -r /tmp/e/root /run/e/root
write_config "$look | .root.path = \"/run/e/root\""
try 'on a root without exec'
write_config '.process.args = ["sleep", "1000"]'
run escape
"$runtime" exec escape true && echo joined
"$runtime" exec --env "PATH=$PATH_OF_ALL" escape program hidden > /tmp/e/out 2>&1 && echo DONE || echo refused
grep -c hidden /tmp/e/out || true
"$runtime" delete -f escape
rm -rf /tmp/e /run/e /var/escape

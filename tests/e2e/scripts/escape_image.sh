#!/bin/bash
# After escapes.sh: users, their homes and devices, if etc/nsswitch.conf of the image is a pipe without a writer.
: "${runtime:?}"
copy_root
cd /tmp/e/root || exit
rm -f etc/nsswitch.conf
mkfifo etc/nsswitch.conf
echo 'seven:x:7:7::/seven:' >> etc/passwd
say='echo home $HOME; grep -h Cap /proc/self/status; umask'
env='.process.env = ["PATH=/usr/bin:/bin"]'
for user in 0 7 8; do
    write_config "$env | .process.user.uid = $user | .process.args = [\"sh\", \"-c\", \"$say\"]"
    try "user $user"
    cat /tmp/e/out
done
write_config "$env | del(.process.capabilities) | .process.args = [\"sh\", \"-c\", \"$say\"]"
try 'no capabilities'
cat /tmp/e/out
write_config 'del(.linux.resources) | .process.capabilities[] += ["CAP_MKNOD"]
    | .process.args = ["sh", "-c", "mknod /x b 254 0; head -c 1 /x > /dev/null && echo hidden; head -c 1 /dev/zero | wc -c"]'
try 'no resources'
grep -v head: /tmp/e/out
write_config "$env"' | .process.args = ["sleep", "1000"]'
umask 077
run escape
for user in 0 7; do timeout 60 "$runtime" exec --user $user escape sh -c "$say"; done
"$runtime" delete -f escape
rm -rf /tmp/e

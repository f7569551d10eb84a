#!/bin/bash
# After escapes.sh: links in the root file system, and a working directory, that lead to the host's /var/escape.
copy_root
rm -rf /var/escape
mkdir -p /tmp/e/source /var/escape /tmp/e/root/var/escape
echo hidden > /var/escape/hidden
show='["sh", "-c", "cat /*/hidden /proc/hidden /sys/hidden; true"]'
changed='[ "$(ls -A /var/escape)" = hidden ] || ls -A /var/escape'
cd /tmp/e/root || exit

rmdir proc
ln -s /var/escape proc
write_config ".process.args = $show"
try 'proc is a link' "$changed"
rm proc
mkdir proc
rmdir sys
ln -s /var/escape sys
write_config ".process.args = $show"
try 'sys is a link' "$changed"
rm sys
mkdir sys
ln -s /proc over
write_config "$(bind /over) | .process.args = $show"
try 'a mount over proc'
ln -sfn /proc/sys over
write_config "$(bind /over/kernel) | .process.args = $show"
try 'a mount below proc'
ln -sfn /../../../../var/escape over
write_config "$(bind /over) | .process.args = $show"
try 'a mount out of the root' "$changed"
for n in 3 4 5 6 7 8 9 10; do
    write_config ".process.cwd = \"/proc/self/fd/$n\" | .process.args = [\"sh\", \"-c\",
        \"cat var/escape/hidden ../var/escape/hidden ../../../../../../var/escape/hidden\"]"
    try "cwd is descriptor $n"
done
ln -s /var/escape/hidden device
rm -rf dev
mkdir dev
ln -s /device dev/null
touch victim
write_config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .linux.maskedPaths = ["/victim"] | .process.args = ["cat", "/victim"]'
try 'dev/null is a link'

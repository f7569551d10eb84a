#!/bin/bash
# After escapes.sh: the terminal of a container with a link at /dev/console of the image, which leads out of the root.
: "${runtime:?}"
copy_root
rm -rf /var/escape
mkdir -p /var/escape
echo hidden > /var/escape/hidden
rm -rf /tmp/e/root/dev
mkdir /tmp/e/root/dev
ln -s /../../../../var/escape/hidden /tmp/e/root/dev/console
for target in none /var/escape/hidden; do
    mkdir -p /tmp/e/root/var/escape
    [ "$target" = none ] || touch "/tmp/e/root$target"
    write_config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .process.terminal = true
        | .process.args = ["sh", "-c", "tty; cat /var/escape/hidden < /dev/null; true"]'
    timeout 60 script -qec "$runtime run --bundle /tmp/e escape" /dev/null < /dev/null > /tmp/e/out 2>&1 \
        && echo "target $target: ran" || echo "target $target: refused"
    ! grep -q '^hidden' /tmp/e/out || echo DONE
    "$runtime" delete -f escape > /dev/null 2>&1 || true
    [ "$(cat /var/escape/hidden)" = hidden ] || echo 'the host: DONE'
    [ "$(ls -A /var/escape)" = hidden ] || echo 'a file on the host: DONE'
done
rm -rf /tmp/e /var/escape

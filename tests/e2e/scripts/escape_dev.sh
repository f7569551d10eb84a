#!/bin/bash
# After escapes.sh, for runvf only: links in the place of /dev and of a masked path, and a bind mount over /dev. runc 1.1
# makes the links of /dev on the host and removes a file there, and leaves the target of a masked link visible.
copy_root
rm -rf /var/escape
mkdir -p /var/escape
touch /var/escape/ptmx
cd /tmp/e/root || exit
mkdir -p var/escape
rm -rf dev
ln -s /var/escape dev
write_config .
try 'dev is a link' '[ "$(ls -A /var/escape)" = ptmx ] || echo changed'
cat /tmp/e/out
rm dev
mkdir dev
ln -s /etc/hosts masked
write_config '.linux.maskedPaths = ["/masked"]'
try 'a masked link'
cat /tmp/e/out
write_config "$(bind /dev)"
try 'the dev of the host'
cat /tmp/e/out
rm -rf /tmp/e /var/escape

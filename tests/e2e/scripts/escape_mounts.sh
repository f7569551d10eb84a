#!/bin/bash
# After escapes.sh: mounts over /proc, read-only paths, and options of mounts.
: "${runtime:?}"
copy_root
mkdir -p /tmp/e/source /tmp/e/root/over
echo hidden > /tmp/e/source/hidden
for place in /proc /proc/sys /proc/self/attr /over/../proc/irq; do
    write_config "$(bind $place) | .process.args = [\"cat\", \"$place/hidden\"]"
    try "a volume at $place"
done
ln -s /proc /tmp/e/source/link
write_config "$(bind /v) | $(bind /v/link/sys) | .process.args = [\"cat\", \"/proc/sys/hidden\"]"
try 'a volume below a link in a volume'
# runc 1.1 allows a tmpfs there.
write_config '.mounts += [{destination: "/proc/sys", type: "overlay", source: "none"}] | .process.args = ["true"]'
try 'a file system in proc'
write_config '.linux.readonlyPaths = ["/usr/bin", "/over"]
    | .mounts += [{destination: "/over", type: "tmpfs", source: "none", options: ["nosuid", "noexec"]}]
    | .process.args = ["sh", "-c", "/usr/bin/echo executed; touch /usr/bin/x /over/x; grep -oE \" /over (r|n)[^ ]*\" /proc/self/mountinfo"]'
try 'read-only paths'
grep -v touch: /tmp/e/out
for option in nosymfollow sync dirsync mand 'size=1m' ro; do
    write_config ".mounts += [{destination: \"/over\", type: \"tmpfs\", source: \"none\", options: [\"$option\"]}]
        | .process.args = [\"grep\", \" /over \", \"/proc/mounts\"]"
    try "option $option"
    sed 's/,mode=755//' /tmp/e/out
done
rm -rf /tmp/e

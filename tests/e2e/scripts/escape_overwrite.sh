#!/bin/bash
# After escapes.sh: processes of the container that run, or write to, the program that enters the container. The last copy
# of the runtime waits for a state that no process writes. Its libraries are those of the host.
: "${runtime:?}"
copy_root
mkdir -p /tmp/e/root/r/c /tmp/e/root/perl
mkfifo /tmp/e/root/r/c/state.json
printf '#!/proc/self/exe\n' > /tmp/e/root/script
chmod +x /tmp/e/root/script
cp /usr/bin/perl /tmp/overwrite.pl /tmp/e/root/perl
write_config '.mounts += [{destination: "/usr/lib/x86_64-linux-gnu", type: "bind", source: "/usr/lib/x86_64-linux-gnu", options: ["bind", "ro"]}]
    | .process.args = ["sleep", "1000"]'
hash=$(sha256sum < "/usr/bin/$runtime")
run c
timeout 20 "$runtime" exec c /script < /dev/null > /dev/null 2>&1 && echo 'script: ran' || echo 'script: ended'
timeout 20 "$runtime" exec c /proc/self/exe --no-such-option > /dev/null 2>&1 < /dev/null && echo 'itself: ran' || echo 'itself: ended'
"$runtime" exec -d c /proc/self/exe --root /r state c < /dev/null > /dev/null 2>&1
"$runtime" exec c sh -c 'until grep -qsz "^state$" /proc/[0-9]*/cmdline; do :; done; /perl/perl /perl/overwrite.pl' < /dev/null
"$runtime" delete -f c
rm -rf /tmp/e
[ "$hash" = "$(sha256sum < "/usr/bin/$runtime")" ] || echo 'the program: DONE'

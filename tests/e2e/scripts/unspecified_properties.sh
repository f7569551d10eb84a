#!/bin/bash
# After bundle.sh: prints the limits of a process, and what it reads of a disk, if the bundle does not specify them.
: "${runtime:?}"
ulimit -Sl 4000
ulimit -Hl 5000
run() {  # FILTER
    write_config "del(.linux.resources, .linux.cgroupsPath) | .root.readonly = false | .process.capabilities[] += [\"CAP_MKNOD\"] | $1
        | .process.args = [\"sh\", \"-c\", \"ulimit -Sl; ulimit -Hl; mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk 2>&1 | wc -c; rm -f /tmp/disk\"]"
    "$runtime" run --bundle . test < /dev/null 2>&1
}
run .
run '.process.rlimits = [{"type": "RLIMIT_MEMLOCK", "soft": 1048576, "hard": 2097152}]'
# The cgroup of all processes, and the cgroup of a slice: only runvf refuses these.
if [ "$runtime" = runvf ]; then
    for path in / /system.slice; do
        { run ".linux.cgroupsPath = \"$path\"" || true; } | grep -c cgroupsPath
    done
fi

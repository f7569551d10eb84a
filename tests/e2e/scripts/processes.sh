#!/bin/bash
# After bundle.sh: prints what processes of unusual configs print, and processes that exec adds.
: "${runtime:?}"
# Some of the commands must fail.
set +e

show() {  # NAME FILTER [COMMAND]: the output and the exit status of a container that COMMAND starts.
    write_config "$2"
    out=$(timeout 60 "${@:3}" "$runtime" run --bundle . test < /dev/null 2> error)
    status=$?
    # runc writes some errors twice.
    [ $status = 0 ] || out="$(($(wc -l < error) > 2)) long"
    echo "$1: $out = $status"
}
echo='.process.args = ["echo", "ran"]'
show 'no user' "$echo | del(.process.user)"
show 'null' "$echo | .process.user = null | .process.rlimits = null | .linux.devices = null | .root.readonly = null"
show 'empty namespaces' "$echo | .linux.namespaces |= map(.path = \"\")"
show 'empty strings' "$echo | .linux.cgroupsPath = \"\" | .linux.rootfsPropagation = \"\" | .hostname = \"\" | .linux.mountLabel = \"\"
    | .process.apparmorProfile = \"\" | .linux.seccomp = {}"
show 'unknown capability' "$echo | .process.capabilities.bounding += [\"CAP_FOO\"]"
show 'no inheritable set' '.process.capabilities |= {bounding, effective, permitted}
    | .process.args = ["grep", "CapInh", "/proc/self/status"]' setpriv --inh-caps +sys_admin
show 'environment of the caller' "$echo" env X=$'\xff'
show 'environment' '.process.args = ["env"] | .process.env = ["B=1", "A=1", "HOME=/", "PATH=/bin", "E="]'
# runc 1.1 puts a variable that is set twice at its first place, runc 1.3 at its last.
show 'a variable twice' '.process.args = ["sh", "-c", "echo $B"] | .process.env = ["B=1", "PATH=/bin", "B=2"]'
show 'no variable name' "$echo | .process.env += [\"=x\"]"
show 'no variable value' "$echo | .process.env += [\"x\"]"
show 'no folder' "$echo | .process.cwd = \"\""
show 'relative folder' "$echo | .process.cwd = \"tmp\""
show 'no arguments' '.process.args = []'
# Paths are read-only below a mask over the root folder, too.
show 'a masked root' '.linux.maskedPaths = ["/"] | .linux.readonlyPaths = ["/proc/sys"]
    | .process.args = ["sh", "-c", "test ! -w /proc/sys/vm/overcommit_memory"]'
show 'a wrong type' "$echo | .process.noNewPrivileges = \"\""
show 'limits' '.process.args = ["sh", "-c", "ulimit -Sn; ulimit -Hn"] | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 3000, hard: 4000}]'

# The owner of a log file does not change, and the process can open its streams by name.
write_config '.process.args = ["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr"] | .process.user = {uid: 1000, gid: 1000}'
"$runtime" run --bundle . test < /dev/null > log 2>&1
sort log
stat -c %u log

# The container's own /dev/null, for reading and writing.
write_config '.process.args = ["grep", "flags", "/proc/self/fdinfo/0"]'
"$runtime" run -d --bundle . test < /dev/null > null 2>&1
for _ in {1..200}; do [ ! -s null ] || break; sleep 0.05; done
cat null
"$runtime" delete --force test

write_config 'del(.process.user) | .process.oomScoreAdj = 500 | .linux.namespaces |= map(.path = "")'
"$runtime" run -d --bundle . test < /dev/null > /dev/null 2>&1
echo '{"args": ["cat", "/proc/self/oom_score_adj"], "cwd": "/", "env": ["PATH=/bin"]}' > process
"$runtime" exec --process process test
env X=$'\xff' "$runtime" exec test echo added
"$runtime" exec --user 1000 test sh -c 'echo out > /dev/stdout; cat' < config.json > log
head -n 1 log
stat -c %u log
setpriv --inh-caps +sys_admin "$runtime" exec test grep CapInh /proc/self/status
"$runtime" exec --env =x test true 2> error; echo "= $?, $(wc -l < error)"
"$runtime" delete --force test

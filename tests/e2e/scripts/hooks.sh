#!/bin/bash
# Begins the scripts of hooks: a container under $runtime with a hook of each stage, in /tmp/h.
: "${runtime:?}"
set +e
stages='prestart createRuntime createContainer startContainer poststart poststop'
rm -rf /tmp/h
mkdir -p /tmp/h/log
cd /tmp/h || exit

# The hook writes its state and its namespaces to a directory that the host and the container see at the same path.
cat > hook <<'END'
#!/bin/sh
# hook STAGE [EXIT]
PATH=/usr/bin
cat > /tmp/h/log/$1.state
readlink /proc/self/ns/net /proc/self/ns/mnt > /tmp/h/log/$1.ns
echo $1 >> /tmp/h/log/order
exit ${2:-0}
END
chmod +x hook

write_config() {  # FILTER
    jq --arg stages "$stages" '.root.path = "/var/lib/runvf-bundles/tcpdump/rootfs" | .annotations = {"of.test": "value"}
        | .mounts = (.mounts | map(select(.type != "bind"))) + [{destination: "/tmp/h", type: "bind", source: "/tmp/h", options: ["bind"]}]
        | .hooks = ($stages | split(" ") | map({(.): [{path: "/tmp/h/hook", args: ["hook", .]}]}) | add)
        | .process.args = ["sh", "-c", "/tmp/h/hook process < /dev/null; exec sleep 1000"] | '"$1" \
        /var/lib/runvf-bundles/tcpdump/config.json > config.json
    rm -f log/*
}

create() { timeout 60 "$runtime" create --bundle /tmp/h --pid-file /tmp/h/log/pid h < /dev/null > log/create 2>&1; }
start() { timeout 60 "$runtime" start h > log/start 2>&1; }
status() { "$runtime" state h 2> /dev/null | jq -r .status; }
ran() { grep -qx "$1" log/order && echo "$1"; }

# Waits until the process has run the hook, or has ended.
settle() { until [ -e log/process.ns ] || [ "$(status)" != running ]; do sleep 0.1; done; }

remove() {
    "$runtime" kill h KILL > /dev/null 2>&1
    until [ "$(status)" != running ]; do sleep 0.1; done
    "$runtime" delete h > log/delete 2>&1
    echo "delete $?"
    [ -z "$(status)" ] || echo 'the container is still there'
}

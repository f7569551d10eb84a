//! Hooks of every stage under runc and under runvf: when each runs, where, what it is told, and what is left when one fails.
//! runc 1.1 runs the poststart hooks while it creates the container; the runtime spec and runvf when it starts it.

use lab::Lab;

use crate::host::{leave, prepared, state};

const RUNTIMES: [&str; 2] = ["runc", "runvf"];

const FUNCTIONS: &str = r#"
stages='prestart createRuntime createContainer startContainer poststart poststop'
rm -rf /tmp/h; mkdir -p /tmp/h/log; cd /tmp/h

# Seen at the same place by those outside and inside. STAGE [EXIT]
cat > hook <<'END'
#!/bin/sh
PATH=/usr/bin
cat > /tmp/h/log/$1.state
readlink /proc/self/ns/net /proc/self/ns/mnt > /tmp/h/log/$1.ns
echo $1 >> /tmp/h/log/order
exit ${2:-0}
END
chmod +x hook

bundle() {  # FILTER
    jq --arg stages "$stages" '.root.path = "/var/lib/runvf-bundles/tcpdump/rootfs" | .annotations = {"of.test": "value"}
        | .mounts = (.mounts | map(select(.type != "bind"))) + [{destination: "/tmp/h", type: "bind", source: "/tmp/h", options: ["bind"]}]
        | .hooks = ($stages | split(" ") | map({(.): [{path: "/tmp/h/hook", args: ["hook", .]}]}) | add)
        | .process.args = ["sh", "-c", "/tmp/h/hook process < /dev/null; exec sleep 1000"] | '"$1" \
        /var/lib/runvf-bundles/tcpdump/config.json > config.json
    rm -f log/*
}
create() { timeout 60 $r create --bundle /tmp/h --pid-file /tmp/h/log/pid h < /dev/null > log/create 2>&1; }
start() { timeout 60 $r start h > log/start 2>&1; }
status() { $r state h 2> /dev/null | jq -r .status; }
ran() { grep -qx $1 log/order && echo $1; }
# Until the process is as far as it gets.
settle() { until [ -e log/process.ns ] || [ "$(status)" != running ]; do sleep 0.1; done; }
remove() {
    $r kill h KILL > /dev/null 2>&1 || true
    until [ "$(status)" != running ]; do sleep 0.1; done
    $r delete h > log/delete 2>&1; echo "delete $?" $([ -z "$(status)" ] || echo 'and it is still there')
}
"#;

fn sourced(lab: &Lab, runtime: &str, script: &str) -> String {
    lab.write("/tmp/hooks.sh", FUNCTIONS).unwrap();
    lab.ok(&format!("r={runtime}; source /tmp/hooks.sh; set +e; {script}; rm -rf /tmp/h"))
        .unwrap()
        .text()
        .to_owned()
}

#[test]
fn hooks_run_in_order_and_know_their_container() {
    let lab = prepared();
    let before = state(&lab);
    let [runc, runvf] = RUNTIMES.map(|runtime| {
        let script = r#"bundle .; create; cp log/order log/created; start; settle; remove
            echo $(grep -vx poststart log/order); grep -cx poststart log/order
            where() { [ "$(cat log/$1.ns)" = "$(readlink /proc/self/ns/net /proc/self/ns/mnt)" ] && echo host || echo container; }
            for stage in $stages; do
                jq -r '[.id, .bundle, .annotations["of.test"]] | join(" ")' log/$stage.state
                echo $stage in the $(where $stage) $(jq -r --arg pid "$(cat log/pid)" '.status, (if (.pid // 0 | tostring) == $pid then "init" else .pid // 0 end)' log/$stage.state)
            done | uniq
            cmp log/startContainer.ns log/process.ns
            grep -x poststart log/created"#;
        sourced(&lab, runtime, script)
    });
    let told = |details: [&str; 3]| {
        let [create_container, start_container, poststart] = details;
        format!(
            "delete 0\nprestart createRuntime createContainer startContainer process poststop\n1\n\
             h /tmp/h value\nprestart in the host creating init\nh /tmp/h value\ncreateRuntime in the host creating init\n\
             h /tmp/h value\ncreateContainer in the container creating {create_container}\n\
             h /tmp/h value\nstartContainer in the container {start_container}\n\
             h /tmp/h value\npoststart in the host {poststart} init\nh /tmp/h value\npoststop in the host stopped 0"
        )
    };
    // What libcontainer leaves out: docs/engines.md.
    assert_eq!(runc, told(["1", "created 1", "created"]) + "\npoststart");
    assert_eq!(runvf, told(["0", "creating 0", "running"]));
    leave(lab, &before);
}

/// What a failing hook of a stage leaves: the exit codes, whether the process ran, whether the next hook did, and its end.
#[test]
fn a_hook_that_fails_is_a_container_that_does_not_run() {
    let lab = prepared();
    let before = state(&lab);
    let fails = r#"{path: "/tmp/h/hook", args: ["hook", $stage, "3"]}"#;
    let hangs = r#"{path: "/usr/bin/sleep", args: ["sleep", "998"], timeout: 1}"#;
    for (how, hook) in [("fails", fails), ("hangs", hangs)] {
        let [runc, runvf] = RUNTIMES.map(|runtime| {
            let script = format!(
                r#"for stage in $stages; do
                    bundle "\"$stage\" as \$stage | .hooks.$stage = [{}, {{path: \"/tmp/h/hook\", args: [\"hook\", \"next\"]}}]"
                    create; created=$?; start; started=$?; [ $started = 0 ] && settle
                    # By runc 1.1 it fails the one, by runvf the other; either way it is told, and nothing lives on.
                    if [ $stage = poststart ]; then
                        [ $created$started != 00 ] && echo "$stage: told"
                        $r delete h > /dev/null 2>&1
                    else
                        echo "$stage: create $created, start $started, $(status)"
                    fi
                    [ $stage = poststop ] || [ $stage = poststart ] || ran process
                    [ $stage = poststop ] || ran next
                    [ $stage = poststart ] || [ -z "$(status)" ] || remove
                    ran poststop; status; pgrep -fx 'sleep 998'
                    [ $stage = startContainer ] || grep -qiE 'exit ?(status|code)|timeout' log/create log/start log/delete 2> /dev/null || echo 'not a word'
                done"#,
                hook.replace('"', "\\\"").replace('$', "\\$")
            );
            sourced(&lab, runtime, &script)
        });
        let never = "create 1, start 1, \npoststop";
        let last = if how == "fails" { "\npoststop" } else { "" };
        let expected = format!(
            "prestart: {never}\ncreateRuntime: {never}\ncreateContainer: {never}\n\
             startContainer: create 0, start 0, stopped\ndelete 0\npoststop\npoststart: told\npoststop\n\
             poststop: create 0, start 0, running\ndelete 0{last}"
        );
        assert_eq!(runc, expected, "{how} with runc");
        assert_eq!(runvf, expected, "{how} with runvf");
    }
    leave(lab, &before);
}

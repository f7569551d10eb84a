//! Hundreds of containers through every front door, several at a time, while the programs around them are killed at random:
//! afterwards the host is as it was.

use std::time::{Duration, Instant};

use lab::Lab;

use crate::hook_calls::{assert_free, functions, gc, seed, with};
use crate::host::installed;

const LIMIT: Duration = Duration::from_secs(40 * 60);

/// A worker and how many containers it runs, one after the other. An engine's cost an emulated CPU five times what bare ones do.
const WORKERS: [(&str, usize); 7] = [
    ("docker", 10),
    ("podman_hooks", 10),
    ("podman_runtime", 10),
    ("bare_run", 35),
    ("bare_create", 35),
    ("hooks", 100),
    ("more_hooks", 100),
];

const SOAK: &str = r#"
source /tmp/functions
bundle=/var/lib/runvf-bundles/tcpdump
image=runvf/tcpdump
# To be told from what never ran, a process without it says 0.
look='cat /sys/class/net/mon0/carrier 2> /dev/null || echo 0'
cd /tmp/soak

# Each is one container from its beginning to its end, and prints what its process saw: 1, or nothing if it never came to that.
docker() { timeout 300 /usr/bin/docker run --rm --network none --runtime runvf --annotation io.runvf.vlan=$vlan --name $name $image sh -c "$look"; }
podman_hooks() { timeout 300 podman run --rm --network none --annotation io.runvf.vlan=$vlan --name $name $image sh -c "$look"; }
podman_runtime() { timeout 300 podman --runtime /usr/bin/runvf run --rm --network none --annotation io.runvf.vlan=$vlan --name $name $image sh -c "$look"; }
spec() { mkdir -p $name; sed "s/@vlan@/$vlan/" $1.json > $name/config.json; }
bare_run() { spec run; timeout 120 runvf run --bundle $name $name < /dev/null; }
bare_create() {
    spec create
    timeout 120 runvf create --bundle $name --pid-file $name/pid $name < /dev/null &> $name/log || { cat $name/log >&2; return 1; }
    timeout 120 runvf start $name && seen $name/pid
    local done=$?
    timeout 120 runvf delete --force $name
    return $done
}
hooks() {
    holder $name $vlan
    attach $name && seen /tmp/$name.pid
    local done=$?
    end $name; detach $name
    return $done
}
more_hooks() { hooks; }
# As $look, from outside.
seen() { nsenter -n -t $(cat $1) ip link show mon0 | grep -c LOWER_UP; }
for how in "run:[\"sh\", \"-c\", \"$look\"]" 'create:["sleep", "1000"]'; do
    jq ".annotations[\"io.runvf.vlan\"] = \"@vlan@\" | .root.path = \"$bundle/rootfs\" | .process.args = ${how#*:}" \
        $bundle/config.json > ${how%%:*}.json
done

work() {  # WORKER COUNT FIRST_VLAN
    for i in $(seq $2); do
        name=$1-$i vlan=$(($3 + i))
        $1 > $1.out 2> $1.err
        local status=$? out=$(< $1.out)
        # A process that saw no VF is what must never happen, killed or not.
        case $status:$out in
        0:1) echo $i >> $1.done ;;
        0:* | *:0) echo "$name ended with $status and saw '$out': $(cat $1.err)" >> wrong ;;
        *) echo "$name: $status: $(tr '\n' ' ' < $1.err)" >> $1.failed ;;
        esac
        [ ! -s $1.err ] || cat $1.err >> $1.log
        [ ! -e $name ] || rm -r $name
    done
}
ended() {
    local file lines count=0
    for file in *.done *.failed; do
        [ ! -e $file ] || { mapfile -t lines < $file; count=$((count + ${#lines[@]})); }
    done
    echo $count
}
# One for every five containers that end, however long they take: by the clock, a slow machine would kill all of Docker's.
killer() {  # SEED
    RANDOM=$1
    # Each once, and then by chance: a shim is nearly always there, a hook or a conmon hardly ever. And some names more often, or hardly a
    # container of Docker's would live.
    local first=(containerd-shim conmon runvf-hook runvf) names=(runvf runvf runvf runvf-hook runvf-hook conmon conmon containerd-shim)
    local name victims next=0 kills=0
    while [ ! -e finished ]; do
        sleep 0.$((RANDOM % 5))
        [ $(ended) -lt $next ] && continue
        name=${first[kills]:-${names[RANDOM % ${#names[@]}]}}
        victims=($(pgrep -x $name))
        [ ${#victims[@]} = 0 ] && continue
        kill -9 ${victims[RANDOM % ${#victims[@]}]} && echo $name >> killed && next=$(($(ended) + 5)) kills=$((kills + 1))
    done 2> /dev/null
}
soak() {  # SEED WORKER:COUNT…
    local seed=$1 vlan=100 workers=(); shift
    killer $seed &
    for worker; do
        work ${worker%:*} ${worker#*:} $vlan & workers+=($!)
        vlan=$((vlan + 200))
    done
    wait ${workers[@]}
    touch finished
    wait
}
"#;

/// What would grow if something were left over. dockerd leaves an empty file in `/run/docker/netns`, where a namespace would have been, if
/// its runtime is killed: for 28 of 65 kills of runc it did.
const COUNTS: &str = r"
echo network namespaces: $(readlink /proc/[0-9]*/ns/net 2>/dev/null | sort -u | wc -l)
echo named namespaces: $(findmnt -rn -t nsfs | wc -l) $(ls /run/netns | wc -l)
echo mounts: $(findmnt -rn | wc -l)
echo processes of containers: $(pgrep -cx 'runvf|runvf-hook|conmon|containerd-shim|crun|sleep|cat')
echo processes named by runvf: $(pgrep -c '^runvf')
echo cgroups: $(find /sys/fs/cgroup -type d | grep -cE 'docker-|libpod|bare_|podman')
echo files in /run/runvf: $(find /run/runvf -type f ! -name '*.lock' ! -name '.*' 2>/dev/null | wc -l)
echo folders in /run/runvf: $(find /run/runvf/containers -mindepth 1 2>/dev/null | wc -l)
echo containers: $(docker ps -aq | wc -l) $(podman ps -aq | wc -l) $(runvf list -q | wc -l)
echo interfaces: $(ls /sys/class/net | grep -vE '^(docker0|podman0)$' | sort | xargs)
";

/// For whoever looks for what it was.
const LEFT: &str = "find /sys/fs/cgroup -type d | grep -E 'docker-|libpod|bare_|podman' | while read -r one; do echo $one; cat $one/cgroup.procs; done
    ls -A /run/netns; journalctl -q --no-pager -u docker | grep -iE 'cgroup|clean' | tail -n 20";

/// Daemons keep some descriptors for a while; one for each container would be hundreds.
const DESCRIPTORS: &str =
    "for name in dockerd containerd; do ls /proc/$(pidof $name)/fd | wc -l; done";

fn descriptors(lab: &Lab) -> Vec<usize> {
    let counts = lab.ok(DESCRIPTORS).unwrap();
    counts.stdout.split_whitespace().map(|count| count.parse().unwrap()).collect()
}

fn watch(lab: &Lab) -> Duration {
    let started = Instant::now();
    loop {
        // Ends when the soak does.
        let over = lab.sh("timeout 30 tail --pid=$(cat /tmp/soak/pid) -f /dev/null").unwrap();
        let took = started.elapsed();
        let figures = lab
            .sh("cd /tmp/soak; echo $(wc -l *.done *.failed killed 2>/dev/null | awk '{print $2 \": \" $1}')")
            .unwrap();
        eprintln!("{:4} s: {}", took.as_secs(), figures.text());
        if over.status == 0 {
            return took;
        }
        assert!(took < LIMIT, "it does not end");
    }
}

#[test]
fn three_hundred_cycles_with_kills_leave_nothing() {
    let lab = installed();
    functions(&lab);
    lab.write("/tmp/soak/functions", SOAK).unwrap();
    lab.ok("for pf in pf0 pf1 pf2; do echo 7 > /sys/class/net/$pf/device/sriov_numvfs; done")
        .unwrap();
    assert_free(&lab, "before");
    // What an engine makes for its first container and keeps is no leak.
    lab.ok(
        "docker run --rm --network none --runtime runvf runvf/tcpdump true; podman run --rm --network none runvf/tcpdump true",
    )
    .unwrap();
    // Both give their namespaces back after the container is gone.
    lab.wait_until(Duration::from_secs(60), "[ -z \"$(findmnt -rn -t nsfs)$(ls /run/netns)\" ]")
        .unwrap();
    lab.write("/tmp/counts", COUNTS).unwrap();
    lab.ok("source /tmp/counts > /tmp/before").unwrap();
    let open = descriptors(&lab);

    let seed = seed();
    let workers: Vec<_> = WORKERS.iter().map(|(name, count)| format!("{name}:{count}")).collect();
    let soak = format!("source /tmp/soak/functions; soak {seed} {}", workers.join(" "));
    lab.write("/tmp/soak/run", soak).unwrap();
    lab.ok("setsid nohup bash /tmp/soak/run > /tmp/soak/log 2>&1 < /dev/null & echo $! > /tmp/soak/pid").unwrap();
    let took = watch(&lab);

    lab.sh_within(
        Duration::from_secs(600),
        // Podman fails once to remove a container whose conmon was killed, with crun as well, and then removes it. containerd
        // gives the runtime five seconds to clean up after a killed shim, and then forgets the container.
        "docker rm -f $(docker ps -aq); podman rm -fa -t 0 || podman rm -fa -t 0
         for root in /run/runvf/containers /run/docker/runtime-runc/moby; do
             # Not `list`: it does not show what was killed before it had a state.
             for id in $(ls $root); do
                 echo $root/$id >> /tmp/soak/left; runvf --root $root delete --force $id
             done
         done
         pkill -9 -xf 'sleep 100000'; true",
    )
    .unwrap();
    let taken_back = gc(&lab);
    let figures = lab
        .sh("cd /tmp/soak; sort killed | uniq -c; cat left; for i in *.done; do echo ${i%.done}: $(wc -l < $i) done, \
             $(cat ${i%.done}.failed 2>/dev/null | wc -l) failed; done; cat *.failed | sed -E 's/-[0-9]+:/:/; s/[0-9a-f]{64}/ID/g' | sort | uniq -c | sort -rn")
        .unwrap();
    eprintln!(
        "{} s, {} VFs taken back by gc\n{}",
        took.as_secs(),
        taken_back.len(),
        figures.stdout
    );

    assert_eq!(lab.sh("cat /tmp/soak/wrong").unwrap().stdout, "");
    assert!(taken_back.iter().all(|(_, outcome, _)| outcome == "clean"), "{taken_back:?}");
    assert_free(&lab, &format!("RUNVF_SEED={seed}"));
    let killed = lab.ok("wc -l < /tmp/soak/killed").unwrap();
    assert!(killed.text().parse::<u32>().unwrap() > 20, "only {killed}");
    // Both of ours, and somebody on each engine's side.
    for name in ["runvf", "runvf-hook", "conmon", "containerd-shim"] {
        lab.ok(&format!("grep -qx {name} /tmp/soak/killed")).expect(name);
    }
    for (worker, count) in WORKERS {
        let done = lab.sh(&format!("wc -l < /tmp/soak/{worker}.done")).unwrap();
        let done: usize = done.text().parse().unwrap_or(0);
        assert!(done * 3 > count, "{worker}: {done} of {count} came through");
    }

    let same = "source /tmp/counts > /tmp/after; diff /tmp/before /tmp/after";
    if lab.wait_until(Duration::from_secs(60), same).is_err() {
        // The difference last, where it is seen.
        eprintln!("{}", lab.sh(&format!("pgrep -a .; findmnt -rn; {LEFT}")).unwrap());
        panic!("RUNVF_SEED={seed}\n{}", lab.sh(same).unwrap().stdout);
    }
    for (was, now) in open.into_iter().zip(descriptors(&lab)) {
        assert!(now <= was + 20, "{was} descriptors were open, now {now}");
    }
    lab.ok(&with("! pgrep -x 'runvf|runvf-hook'")).unwrap();
}

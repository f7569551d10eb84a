//! Proof of endurance: hundreds of containers start in every way, several at a time, while
//! processes of runvf and of the engines are killed at random. Afterwards the state of the host is
//! that of before.

use std::time::{Duration, Instant};

use lab::Lab;

use crate::hook_calls::{assert_free, functions, gc, seed, with};
use crate::host::installed;

/// For [`WORKERS`] as they are; a larger scale has more time.
const RUN_TIMEOUT: Duration = Duration::from_secs(16 * 60);

/// The workers, and the number of containers that each runs one after the other. A container of an
/// engine takes five times as long on an emulated CPU as one of a bare runtime.
const WORKERS: [(&str, usize); 7] = [
    ("docker", 2),
    ("podman_hooks", 2),
    ("podman_runtime", 2),
    ("bare_run", 7),
    ("bare_create", 7),
    ("hooks", 20),
    ("more_hooks", 20),
];

const SOAK: &str = include_str!("../scripts/endurance.sh");
const LEFTOVERS: &str = include_str!("../scripts/leftovers.sh");
const SHOW_LEFTOVERS: &str = include_str!("../scripts/show_leftovers.sh");
const REMOVE_CONTAINERS: &str = include_str!("../scripts/remove_containers.sh");
const FIGURES: &str = include_str!("../scripts/endurance_figures.sh");

/// Counts the descriptors of the daemons. They keep some for a while; a leak for each container
/// would be hundreds.
const DESCRIPTORS: &str =
    "for name in dockerd containerd; do ls /proc/$(pidof $name)/fd | wc -l; done";

fn descriptors(lab: &Lab) -> Vec<usize> {
    let counts = lab.ok(DESCRIPTORS).unwrap();
    counts.stdout.split_whitespace().map(|count| count.parse().unwrap()).collect()
}

/// Waits for the end of all workers, and prints their progress.
fn watch(lab: &Lab, limit: Duration) -> Duration {
    let started = Instant::now();
    loop {
        // tail ends when the soak ends.
        let over = lab.sh("timeout 30 tail --pid=$(cat /tmp/soak/pid) -f /dev/null").unwrap();
        let took = started.elapsed();
        let figures = lab
            .sh("cd /tmp/soak; echo $(wc -l *.done *.failed killed 2>/dev/null | awk '{print $2 \": \" $1}')")
            .unwrap();
        eprintln!("{:4} s: {}", took.as_secs(), figures.text());
        if over.status == 0 {
            return took;
        }
        assert!(took < limit, "the workers do not end");
    }
}

/// Runs `scale` times the containers of [`WORKERS`].
pub(crate) fn containers_with_random_kills_leave_nothing(scale: u32) {
    let workers = WORKERS.map(|(name, count)| (name, count * scale as usize));
    let lab = installed();
    functions(&lab);
    lab.write("/tmp/soak/functions", SOAK).unwrap();
    lab.ok("for pf in pf0 pf1 pf2; do echo 7 > /sys/class/net/$pf/device/sriov_numvfs; done")
        .unwrap();
    assert_free(&lab, "before");
    // An engine keeps something of its first container; that is no leak.
    lab.ok(
        "docker run --rm --network none --runtime runvf runvf/tcpdump true; podman run --rm --network none runvf/tcpdump true",
    )
    .unwrap();
    // Both engines release their namespaces after the container is gone.
    lab.wait_until(Duration::from_secs(60), "[ -z \"$(findmnt -rn -t nsfs)$(ls /run/netns)\" ]")
        .unwrap();
    lab.write("/tmp/leftovers", LEFTOVERS).unwrap();
    lab.ok("source /tmp/leftovers > /tmp/before").unwrap();
    let open = descriptors(&lab);

    let seed = seed();
    let arguments: Vec<_> = workers.iter().map(|(name, count)| format!("{name}:{count}")).collect();
    let soak = format!("source /tmp/soak/functions; soak {seed} {}", arguments.join(" "));
    lab.write("/tmp/soak/run", soak).unwrap();
    lab.ok("setsid nohup bash /tmp/soak/run > /tmp/soak/log 2>&1 < /dev/null & echo $! > /tmp/soak/pid").unwrap();
    let took = watch(&lab, RUN_TIMEOUT * scale);

    lab.sh_within(Duration::from_secs(600) * scale, REMOVE_CONTAINERS).unwrap();
    let released = gc(&lab);
    let figures = lab.sh(FIGURES).unwrap();
    eprintln!("{} s, {} VFs released by gc\n{}", took.as_secs(), released.len(), figures.stdout);

    assert_eq!(lab.sh("cat /tmp/soak/wrong").unwrap().stdout, "");
    assert!(released.iter().all(|(_, outcome, _)| outcome == "clean"), "{released:?}");
    assert_free(&lab, &format!("RUNVF_SEED={seed}"));
    let killed = lab.ok("wc -l < /tmp/soak/killed").unwrap();
    let containers: usize = workers.iter().map(|(_, count)| count).sum();
    // At most one for five containers, because the next kill waits for so many. On a busy machine the
    // killer seldom finds a process of the name that it has chosen.
    assert!(killed.text().parse::<usize>().unwrap() > containers / 30, "only {killed}");
    // Both programs of runvf, and a program of each engine.
    for name in ["runvf", "runvf-hook", "conmon", "containerd-shim"] {
        lab.ok(&format!("grep -qx {name} /tmp/soak/killed")).expect(name);
    }
    for (worker, count) in workers {
        let done = lab.sh(&format!("wc -l < /tmp/soak/{worker}.done")).unwrap();
        let done: usize = done.text().parse().unwrap_or(0);
        assert!(done * 3 > count, "{worker}: {done} of {count} succeeded");
    }

    let same = "source /tmp/leftovers > /tmp/after; diff /tmp/before /tmp/after";
    if lab.wait_until(Duration::from_secs(60), same).is_err() {
        eprintln!("{}", lab.sh(SHOW_LEFTOVERS).unwrap());
        panic!("RUNVF_SEED={seed}\n{}", lab.sh(same).unwrap().stdout);
    }
    for (was, now) in open.into_iter().zip(descriptors(&lab)) {
        assert!(now <= was + 20, "{was} descriptors were open, now {now}");
    }
    lab.ok(&with("! pgrep -x 'runvf|runvf-hook'")).unwrap();
}

#[test]
fn sixty_containers_with_random_kills_leave_nothing() {
    containers_with_random_kills_leave_nothing(1);
}

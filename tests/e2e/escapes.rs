//! Ways out of a container that runc closes, tried under runc and under runvf. An attempt prints one line; no line may say `DONE`.

use lab::Lab;

use crate::engine::IMAGE;
use crate::host::{leave, prepared, state};

const RUNTIMES: [&str; 2] = ["runc", "runvf"];

/// It makes any system call, and needs no library that the image does not have.
const PERL: &str = "/usr/bin/perl";

/// What a process in a default container tries, and what it is. The last lines are compared with runc's.
const ATTEMPTS: &str = r#"
$| = 1;
sub attempt { my ($what, $done) = @_; print "$what: ", $done ? "DONE" : "refused", "\n" }
sub writes { my ($path, $text) = @_; open(my $file, "+<", $path) or return; syswrite($file, $text) }
sub reads { open(my $file, "<", $_[0]) or return; sysread($file, my $byte, 1) }
sub lists { opendir(my $folder, $_[0]) or return; grep { !/^\.\.?$/ } readdir $folder }
sub device { my ($type, $major, $minor) = @_; unlink "/node"; system("mknod", "/node", $type, $major, $minor); reads("/node") }

attempt "write $_", writes($_, "1") for "/proc/sys/kernel/panic", "/proc/sys/net/ipv4/ip_default_ttl", "/proc/irq/default_smp_affinity",
    "/sys/kernel/mm/ksm/run", "/sys/block/vda/queue/read_ahead_kb";
attempt "write /proc/sysrq-trigger", writes("/proc/sysrq-trigger", "h");
attempt "make a cgroup", mkdir "/sys/fs/cgroup/escape";
attempt "read $_", reads($_) for "/proc/kcore", "/proc/keys", "/proc/timer_list", "/dev/mem", "/dev/vda";
attempt "list $_", lists($_) for "/proc/acpi", "/proc/scsi", "/sys/firmware";
attempt "read a node of the disk", device("b", split ":", $ARGV[0]);
attempt "read a node of /dev/mem", device("c", 1, 1);
attempt "read a node of /dev/kmsg", device("c", 1, 11);
my ($none, $tmp, $tmpfs) = ("none", "/tmp", "tmpfs");
attempt "mount", syscall(165, $none, $tmp, $tmpfs, 0, 0) == 0;
attempt "unshare mounts", syscall(272, 0x20000) == 0;
attempt "unshare users", syscall(272, 0x10000000) == 0;
attempt "keyctl", syscall(250, 0, -3, 0) != -1;
attempt "bpf", syscall(321, 0, $none, 0) != -1;
attempt "leave by a descriptor", scalar grep { $_ > 2 && chdir("/proc/self/fd/$_") } lists("/proc/self/fd");

print "has ", join(" ", /^(Cap\w+|NoNewPrivs|Seccomp):\s+(\S+)/), "\n" for do { open my $s, "<", "/proc/self/status"; <$s> };
print "profile ", do { open my $p, "<", "/proc/self/attr/current"; <$p> // "none\n" };
open my $table, "<", "/proc/self/mountinfo";
print sort map { my @f = split; my ($dash) = grep { $f[$_] eq "-" } 0 .. $#f; "mount $f[4] $f[5] $f[$dash + 1]\n" } <$table>;
"#;

/// Bundles on a root file system of their own; each gets another.
const FUNCTIONS: &str = r#"
sensor=/var/lib/runvf-bundles/tcpdump
root() { rm -rf /tmp/e/root; mkdir -p /tmp/e; cp -r --reflink=auto $sensor/rootfs /tmp/e/root; }
bundle() {  # FILTER
    jq '.root = {path: "/tmp/e/root"} | .annotations = {} | .mounts |= map(select(.type != "bind")) | '"$1" \
        $sensor/config.json > /tmp/e/config.json
}
# What a container prints, or that it was refused; and then the sign that it got out, if it did.
try() {  # WHAT RUNTIME [SIGN]
    timeout 60 $2 run --bundle /tmp/e escape < /dev/null > /tmp/e/out 2>&1 && echo "$1: ran" || echo "$1: refused"
    if grep -qx hidden /tmp/e/out || [ -n "$(eval "$3")" ]; then echo "$1: DONE"; cat /tmp/e/out; fi
    $2 delete -f escape > /dev/null 2>&1 || true
}
bind() { echo ".mounts += [{destination: \"$1\", type: \"bind\", source: \"/tmp/e/source\", options: [\"rbind\"]}]"; }
"#;

fn sourced(lab: &Lab, script: &str) -> String {
    lab.write("/tmp/escape.sh", FUNCTIONS).unwrap();
    lab.ok(&format!("source /tmp/escape.sh; {script}")).unwrap().text().to_owned()
}

fn assert_none_done(case: &str, told: &str) {
    assert!(!told.is_empty() && !told.contains("DONE"), "{case}:\n{told}");
}

/// The first process and one that `exec` adds, which takes another way through the runtime.
#[test]
fn a_default_container_is_as_closed_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/attempts.pl", ATTEMPTS).unwrap();
    let volumes = [PERL, "/tmp/attempts.pl"].map(|path| format!(" -v {path}:{path}:ro")).concat();
    let disk = lab.ok("stat -c %Hr:%Lr /dev/vda").unwrap();
    let attempts = format!("perl /tmp/attempts.pl {}", disk.text());
    let told = RUNTIMES.map(|runtime| {
        let name = format!("closed-{runtime}");
        // Their names differ, and would show in the table of mounts.
        let first = format!("docker run -d --name {name} --network none --hostname closed --runtime {runtime}{volumes} {IMAGE} sh -c '{attempts}; exec sleep 1000'");
        let script = format!("{first} > /dev/null; docker exec {name} {attempts}; echo; docker logs {name}; docker rm -f {name} > /dev/null");
        let told = lab.ok(&script).unwrap().text().to_owned();
        assert_none_done(runtime, &told);
        assert!(told.matches("mount: refused").count() == 2, "{runtime}:\n{told}");
        told
    });
    assert_eq!(told[1], told[0]);
    leave(lab, &before);
}

/// What is in an image or a spec, and is there before the runtime has locked anything.
#[test]
fn a_root_leads_nowhere_else() {
    let lab = prepared();
    let before = state(&lab);
    let [runc, runvf] = RUNTIMES.map(|runtime| {
        let script = format!(
            r#"root; rm -rf /var/escape; mkdir -p /tmp/e/source /var/escape /tmp/e/root/var/escape; echo hidden > /var/escape/hidden; r={runtime}
            show='["sh", "-c", "cat /*/hidden /proc/hidden /sys/hidden; true"]'
            kept='[ "$(ls -A /var/escape)" = hidden ] || ls -A /var/escape'
            cd /tmp/e/root

            rmdir proc; ln -s /var/escape proc; bundle ".process.args = $show"; try 'proc is a link' $r "$kept"; rm proc; mkdir proc
            rmdir sys; ln -s /var/escape sys; bundle ".process.args = $show"; try 'sys is a link' $r "$kept"; rm sys; mkdir sys
            ln -s /proc over; bundle "$(bind /over) | .process.args = $show"; try 'a mount over proc' $r
            ln -sfn /proc/sys over; bundle "$(bind /over/kernel) | .process.args = $show"; try 'a mount below proc' $r
            ln -sfn /../../../../var/escape over; bundle "$(bind /over) | .process.args = $show"; try 'a mount out of the root' $r "$kept"
            for n in 3 4 5 6 7 8 9 10; do
                bundle ".process.cwd = \"/proc/self/fd/$n\" | .process.args = [\"sh\", \"-c\", \"cat var/escape/hidden ../var/escape/hidden ../../../../../../var/escape/hidden\"]"
                try "cwd is descriptor $n" $r
            done
            ln -s /var/escape/hidden device; rm -rf dev; mkdir dev; ln -s /device dev/null; touch victim
            bundle '.mounts |= map(select(.destination | startswith("/dev") | not)) | .linux.maskedPaths = ["/victim"] | .process.args = ["cat", "/victim"]'
            try 'dev/null is a link' $r"#
        );
        let told = sourced(&lab, &script);
        assert_none_done(runtime, &told);
        told
    });
    assert_eq!(runvf, runc);

    // runc 1.1 makes the links of /dev on the host and removes a file of its: see symlinks.rs. And what a link is
    // masked with, runvf leaves to whoever wrote the spec.
    let script = "root; rm -rf /var/escape; mkdir -p /var/escape; touch /var/escape/ptmx; cd /tmp/e/root; mkdir -p var/escape
        rm -rf dev; ln -s /var/escape dev; bundle .; try 'dev is a link' runvf '[ \"$(ls -A /var/escape)\" = ptmx ] || echo changed'
        cat /tmp/e/out; rm dev; mkdir dev; ln -s /etc/hosts masked
        bundle '.linux.maskedPaths = [\"/masked\"]'; try 'a masked link' runvf; cat /tmp/e/out
        bundle \"$(bind /dev)\"; try 'the dev of the host' runvf; cat /tmp/e/out; rm -rf /tmp/e /var/escape";
    let told = sourced(&lab, script);
    let expected = [
        "dev is a link: refused",
        "runvf: /tmp/e/root/dev is a symlink; replace it with a folder",
        "a masked link: refused",
        "runvf: /tmp/e/root/masked is a symlink; mask its target",
        "the dev of the host: refused",
        "runvf: cannot bind-mount over /dev: libcontainer creates its own /dev; add devices with --device, or set `engine = \"runc\"` in /etc/runvf/runtime.toml",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    leave(lab, &before);
}

/// CVE-2024-21626: a path of the container's that begins with a folder that the runtime has open. `PATH` tries all numbers at once, for
/// the first process, for one on a root that cannot be executed as it is mounted, and for one that joins.
#[test]
fn a_program_is_found_nowhere_else() {
    let lab = prepared();
    let before = state(&lab);
    let told = RUNTIMES.map(|runtime| {
        let script = format!(
            r#"root; r={runtime}; mkdir -p /var/escape /run/e; cp /usr/bin/echo /var/escape/program
            PATH_OF_ALL=$(for n in $(seq 3 60); do printf '%s:' /proc/self/fd/$n/../../../../../../../../var/escape; done)
            look=".process.args = [\"program\", \"hidden\"] | .process.env = [\"PATH=$PATH_OF_ALL\"]"
            bundle "$look"; try 'the first process' $r
            cp -r /tmp/e/root /run/e/root; bundle "$look | .root.path = \"/run/e/root\""; try 'on a root without exec' $r
            bundle '.process.args = ["sleep", "1000"]'; $r run -d --bundle /tmp/e escape < /dev/null > /dev/null 2>&1
            $r exec escape true && echo joined
            $r exec --env PATH=$PATH_OF_ALL escape program hidden > /tmp/e/out 2>&1 && echo DONE || echo refused
            grep -c hidden /tmp/e/out || true; $r delete -f escape; rm -rf /tmp/e /run/e /var/escape"#
        );
        let told = sourced(&lab, &script);
        assert_none_done(runtime, &told);
        told
    });
    let expected =
        "the first process: refused\non a root without exec: refused\njoined\nrefused\n0";
    assert_eq!(told, [expected; 2]);
    leave(lab, &before);
}

/// CVE-2019-14271: where a home is looked up by the C library, that opens what the image has as its configuration, and loads what this
/// names. Here it would wait for a pipe's writer.
#[test]
fn nothing_of_the_image_is_loaded() {
    let lab = prepared();
    let before = state(&lab);
    let told = RUNTIMES.map(|runtime| {
        let script = format!(
            r#"root; r={runtime}; cd /tmp/e/root; rm -f etc/nsswitch.conf; mkfifo etc/nsswitch.conf; echo 'seven:x:7:7::/seven:' >> etc/passwd
            say='echo home $HOME; grep -h Cap /proc/self/status; umask'
            for user in 0 7 8; do
                bundle ".process.env = [\"PATH=/usr/bin:/bin\"] | .process.user.uid = $user | .process.args = [\"sh\", \"-c\", \"$say\"]"
                try "user $user" $r; cat /tmp/e/out
            done
            bundle ".process.env = [\"PATH=/usr/bin:/bin\"] | del(.process.capabilities) | .process.args = [\"sh\", \"-c\", \"$say\"]"
            try 'no capabilities' $r; cat /tmp/e/out
            bundle 'del(.linux.resources) | .process.capabilities[] += ["CAP_MKNOD"] | .process.args = ["sh", "-c", "mknod /x b 254 0; head -c 1 /x > /dev/null && echo hidden; head -c 1 /dev/zero | wc -c"]'
            try 'no resources' $r; grep -v head: /tmp/e/out
            bundle '.process.env = ["PATH=/usr/bin:/bin"] | .process.args = ["sleep", "1000"]'; umask 077; $r run -d --bundle /tmp/e escape < /dev/null > /dev/null 2>&1
            for user in 0 7; do timeout 60 $r exec --user $user escape sh -c "$say"; done; $r delete -f escape; rm -rf /tmp/e"#
        );
        let told = sourced(&lab, &script);
        assert_none_done(runtime, &told);
        told
    });
    assert_eq!(told[1], told[0]);
    for line in [
        "user 7: ran",
        "home /root",
        "home /seven",
        "home /",
        "no capabilities: ran",
        "no resources: ran",
        "0022",
    ] {
        assert!(told[0].lines().any(|said| said == line), "no `{line}` in\n{}", told[0]);
    }
    leave(lab, &before);
}

/// libcontainer would run it with the host's users.
#[test]
fn whoever_joins_a_user_namespace_is_in_it() {
    let lab = prepared();
    let before = state(&lab);
    let script = r#"root; chown -R 1000000:1000000 /tmp/e/root
        bundle '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 1000000, size: 65536}]
            | .linux.gidMappings = .linux.uidMappings | .process.args = ["sleep", "1000"]'
        for r in runc runvf; do
            $r run -d --bundle /tmp/e escape < /dev/null > /tmp/e/out 2>&1 || cat /tmp/e/out
            $r exec escape sh -c 'cat /proc/self/uid_map; cat /proc/self/setgroups; echo x > /proc/sys/kernel/hostname' 2>&1 || echo refused
            # Of a process that waits: its number outside, and whether it has what a root of the host has.
            $r exec -d escape sleep 2000; pid=$(pgrep -fx 'sleep 2000'); grep -e Uid -e CapEff -e CapBnd /proc/$pid/status
            $r exec --user 70000 escape true 2> /dev/null || echo unmapped
            $r delete -f escape
        done
        rm -rf /tmp/e"#;
    let told = sourced(&lab, script);
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    let (runc, runvf) = lines.split_at(lines.len() / 2);
    assert_eq!(runc, runvf);
    assert!(runc[0].starts_with("0    1000000"), "{told}");
    assert!(told.contains("Uid:\t1000000\t1000000") && told.contains("unmapped"), "{told}");
    leave(lab, &before);
}

/// CVE-2019-5736: the kernel's link to the program that enters a container is open to the container's processes. It is kept
/// open until nobody runs the program any more, when it could be written to.
#[test]
fn the_runtime_cannot_be_written_to() {
    let lab = prepared();
    let before = state(&lab);
    lab.write(
        "/tmp/overwrite.pl",
        r#"
        my ($pid) = map { m|/proc/(\d+)/cmdline| } grep { open my $c, "<", $_; (<$c> // "") =~ /state\0c\0$/ } glob "/proc/[0-9]*/cmdline";
        open(my $program, "<", "/proc/$pid/exe") or die "no program: $!";
        print "holds ", readlink("/proc/self/fd/" . fileno $program) =~ /runc|runvf/ ? "the runtime" : "another", "\n";
        kill "KILL", $pid;
        select undef, undef, undef, 0.01 while -e "/proc/$pid/exe";
        print "overwrite: ", open(my $own, "+<", "/proc/self/fd/" . fileno $program) && syswrite($own, "x") ? "DONE" : "refused", "\n";
        "#,
    )
    .unwrap();
    for runtime in RUNTIMES {
        // The runtime's copy waits for a state that nobody writes. Its libraries are the guest's.
        let script = format!(
            r#"r={runtime}; root; mkdir -p /tmp/e/root/r/c /tmp/e/root/perl; mkfifo /tmp/e/root/r/c/state.json
            printf '#!/proc/self/exe\n' > /tmp/e/root/script; chmod +x /tmp/e/root/script
            cp /usr/bin/perl /tmp/overwrite.pl /tmp/e/root/perl
            bundle '.mounts += [{{destination: "/usr/lib/x86_64-linux-gnu", type: "bind", source: "/usr/lib/x86_64-linux-gnu", options: ["bind", "ro"]}}]
                | .process.args = ["sleep", "1000"]'
            hash=$(sha256sum < /usr/bin/$r)
            $r run -d --bundle /tmp/e c < /dev/null > /dev/null 2>&1
            timeout 20 $r exec c /script < /dev/null > /dev/null 2>&1 && echo 'script: ran' || echo 'script: ended'
            timeout 20 $r exec c /proc/self/exe --no-such-option > /dev/null 2>&1 < /dev/null && echo 'itself: ran' || echo 'itself: ended'
            $r exec -d c /proc/self/exe --root /r state c < /dev/null > /dev/null 2>&1
            $r exec c sh -c 'until grep -qsz "^state$" /proc/[0-9]*/cmdline; do :; done; /perl/perl /perl/overwrite.pl' < /dev/null
            $r delete -f c; rm -rf /tmp/e
            [ "$hash" = "$(sha256sum < /usr/bin/$r)" ] || echo 'the program: DONE'"#
        );
        let told = sourced(&lab, &script);
        assert_eq!(
            told, "script: ended\nitself: ended\nholds the runtime\noverwrite: refused",
            "{runtime}"
        );
    }
    leave(lab, &before);
}

/// A process that waits to be started is one of the container's already, in whose pid namespace others may run.
#[test]
fn what_the_runtime_holds_stays_its_own() {
    let lab = prepared();
    let before = state(&lab);
    lab.write(
        "/tmp/peek.pl",
        r#"
        opendir(my $proc, "/proc");
        for my $pid (grep { /^\d+$/ && $_ != $$ && $_ != 1 } readdir $proc) {
            print "process\n" if -e "/proc/$pid/stat";
            print "peek: DONE\n" if grep { readlink "/proc/$pid/$_" } "exe", "cwd", map { "fd/$_" } 0 .. 20;
            print "ptrace: DONE\n" if syscall(101, 16, $pid, 0, 0) == 0;
        }"#,
    )
    .unwrap();
    for runtime in RUNTIMES {
        let script = format!(
            r#"r={runtime}; root; mkdir /tmp/e/root/perl; cp {PERL} /tmp/peek.pl /tmp/e/root/perl
            bundle '.process.args = ["sleep", "1000"]'
            $r run -d --bundle /tmp/e a < /dev/null > /dev/null 2>&1
            bundle ".process.args = [\"sleep\", \"1000\"] | .linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$($r state a | jq .pid)/ns/pid\" else . end)"
            $r create --bundle /tmp/e b < /dev/null > /dev/null 2>&1
            bundle .
            $r exec a /perl/perl /perl/peek.pl < /dev/null
            $r delete -f b; $r delete -f a

            # A session keyring of its own, the same for a process that comes later; or the caller's, if it is told so.
            own='printf "%x\n", syscall 250, 0, -3, 0'
            bundle ".process.args = [\"/perl/perl\", \"-e\", \"\$| = 1; $(echo $own | sed 's/[\\"]/\\&/g'); sleep 1000\"]"
            for option in '' --no-new-keyring; do
                $r run -d $option --bundle /tmp/e k < /dev/null > /tmp/e/first 2>&1
                until [ -s /tmp/e/first ]; do sleep 0.1; done
                [ "$($r exec k /perl/perl -e "$own" < /dev/null)" = "$(cat /tmp/e/first)" ] && echo 'keyring: one'
                [ "$(perl -e "$own")" = "$(cat /tmp/e/first)" ] && echo 'keyring: the host'\''s'
                $r delete -f k
            done
            rm -rf /tmp/e"#
        );
        assert_eq!(
            sourced(&lab, &script),
            "process\nkeyring: one\nkeyring: one\nkeyring: the host's",
            "{runtime}"
        );
    }
    leave(lab, &before);
}

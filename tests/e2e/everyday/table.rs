//! The operations.

/// A script, of which everything that it prints is compared. Names, ids, times and what else differs from one run to the next
/// must not be in it.
pub(crate) struct Operation {
    pub(super) name: &'static str,
    pub(super) script: &'static str,
    /// Lines that runc's transcript must have.
    lines: &'static [&'static str],
    only: Option<&'static str>,
    /// The engine under which it is also done by another runtime behind runvf.
    pub(super) delegated: Option<&'static str>,
}

const fn operation(
    name: &'static str,
    script: &'static str,
    lines: &'static [&'static str],
) -> Operation {
    Operation { name, script, lines, only: None, delegated: None }
}

impl Operation {
    const fn with_only(self, engine: &'static str) -> Self {
        Self { only: Some(engine), ..self }
    }

    const fn and_delegated(self) -> Self {
        self.and_delegated_under("docker")
    }

    const fn and_delegated_under(self, engine: &'static str) -> Self {
        Self { delegated: Some(engine), ..self }
    }

    pub(super) fn is_for(&self, engine: &str) -> bool {
        self.only.is_none_or(|only| only == engine)
    }

    pub(super) fn missing_in<'a>(&self, text: &'a str) -> impl Iterator<Item = &'static str> + 'a
    where
        'static: 'a,
    {
        let lines = self.lines;
        lines.iter().copied().filter(move |line| !text.lines().any(|there| there == *line))
    }
}

pub(crate) const TABLE: &[Operation] = &[
    operation(
        "output, input and exit codes",
        r#"
        try $wired --rm $i sh -c 'echo out; echo err >&2; exit 3' 2> err; cat err
        echo hello | try $run --rm -i $i cat
        try $run --rm $i /no/such/program 2> /dev/null
        try $run --rm $i /etc/passwd 2> /dev/null
        try $run --rm -v /no/such:relative $i true 2> /dev/null"#,
        &["out", "= 3", "err", "hello", "= 0", "= 127", "= 126", "= 125"],
    )
    .and_delegated(),
    operation(
        "a terminal, its size, and a change of it",
        r#"
        cat > inside <<-'END'
			tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal
			until [ "$(stty size)" = "33 77" ]; do :; done
			echo sized
		END
        script -qec "stty rows 33 cols 77; timeout 60 $run --rm -it $i sh -c '$(cat inside)'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
        $run -d --name everyday $i sleep 1000 > /dev/null
        script -qec "stty rows 33 cols 77; timeout 60 $e exec -it everyday sh -c '$(cat inside)'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
        gone"#,
        &["/dev/pts/0", "terminal", "sized"],
    ),
    operation(
        "what a container is confined to, by default",
        r#"
        $wired --rm $i sh -c 'exec 2>&1
            id; cd /proc/self; cat status > /tmp/s
            while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:|Seccomp_filters:|Groups:|SigIgn:|SigBlk:) echo $key $value;; esac; done < /tmp/s
            cat attr/current oom_score_adj limits
            while read -r _ at kind flags _; do case $at in /|/etc/*) ;; *) echo $at $kind $flags;; esac; done < mounts | sort
            for f in /dev/*; do [ -L $f ] && echo $f $(readlink $f) || stat -c "%n %F %a %t %T %u %g" $f; done
            for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_seqnum; do echo x > $f; done
            cat /proc/kcore /proc/timer_list | wc -c; ls /proc/acpi /sys/firmware | wc -l
            chmod 777 /proc/self/attr 2> /dev/null || echo refused
            for n in cgroup ipc mnt net pid user uts; do [ -e ns/$n ] && echo $n; done'"#,
        &[
            "uid=0(root) gid=0(root) groups=0(root)",
            "NoNewPrivs: 0",
            "Seccomp: 2",
            "SigIgn: 0000000000000000",
            "refused",
        ],
    ),
    operation(
        "what a container is confined to, by options",
        r#"
        head -c 16 /dev/zero > file; echo A=from-file > env
        $run --rm --user 1234:4321 --group-add 77 --cap-drop ALL --cap-add NET_RAW --security-opt no-new-privileges --read-only \
            --tmpfs /scratch:size=1m,mode=1777 --hostname everyday --env-file env --env B=b --workdir /proc --ulimit nofile=77:99 \
            --ulimit core=0 --sysctl net.ipv4.ip_default_ttl=42 --oom-score-adj 77 --device /dev/vda:/dev/disk:r --shm-size 2m \
            --memory 128m --memory-reservation 64m --cpus 0.5 --cpu-shares 512 --pids-limit 55 --cpuset-cpus 0 \
            -v $m/file:/file:ro --mount type=tmpfs,dst=/mnt,tmpfs-size=1m --add-host other:10.1.2.3 $i sh -c 'exec 2>&1
            id; pwd; cat /proc/sys/kernel/hostname; echo $A $B; ulimit -n; ulimit -Hn; ulimit -c
            while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:|Groups:|Cpus_allowed_list:) echo $key $value;; esac; done < /proc/self/status
            touch /no /scratch/yes; ls /scratch; echo x > /file; stat -c %s /file
            for at in /scratch /mnt /dev/shm; do stat -f -c "%n %T %b" $at; done
            cat /proc/sys/net/ipv4/ip_default_ttl /proc/self/oom_score_adj; ls /sys/class/net
            cd /sys/fs/cgroup; for f in memory.max memory.low cpu.max pids.max cpuset.cpus; do echo $f $(cat $f); done
            stat -c "%n %F %t %T" /dev/disk; grep other /etc/hosts'"#,
        &[
            "Groups: 77 4321",
            "everyday",
            "from-file b",
            "NoNewPrivs: 1",
            "yes",
            "42",
            "memory.max 134217728",
            "pids.max 55",
        ],
    )
    .and_delegated(),
    operation(
        "a privileged container",
        r#"
        $run --rm --privileged $i sh -c '
            while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:) echo $key $value;; esac; done < /proc/self/status
            head -c 16 /dev/vda | wc -c; echo 1 > /proc/sys/kernel/domainname && echo written
            while read -r _ at kind flags _; do case $at in /proc*|/sys*) echo $at $kind $flags;; esac; done < /proc/mounts | sort'"#,
        &["Seccomp: 0", "16", "written"],
    ),
    operation(
        "namespaces of the host and of other containers",
        r#"
        ns='for n in cgroup ipc net pid uts; do readlink /proc/self/ns/$n; done'
        sh -c "$ns" > host
        compare() { while read -r here && read -r there <&3; do [ $here = $there ] && echo "${here%:*} is the same" || echo "${here%:*} is another"; done < $1 3< $2; }
        $wired --rm --pid host --ipc host --uts host --network host $i sh -c "$ns" > shared 2> warnings; compare host shared
        $run -d --name everyday --ipc shareable $i sleep 1000 > /dev/null
        $e exec everyday sh -c "$ns" > first; compare host first
        $wired --rm --pid container:everyday --ipc container:everyday --network container:everyday $i sh -c "$ns" > second 2>> warnings; compare first second
        gone"#,
        &["net is the same", "pid is another"],
    ),
    operation(
        "a network of its own",
        r#"
        $wired -d --name everyday -p 127.0.0.1:8080:80 $i sleep 1000 > /dev/null
        $e exec everyday sh -c 'ls /sys/class/net; cat /sys/class/net/*/operstate; ip route show default | wc -l'
        gateway=$(of everyday '.NetworkSettings.Gateway'); [ -n "$gateway" ] || gateway=$(of everyday 'range .NetworkSettings.Networks}}{{.Gateway}}{{end')
        address=$(of everyday '.NetworkSettings.IPAddress'); [ -n "$address" ] || address=$(of everyday 'range .NetworkSettings.Networks}}{{.IPAddress}}{{end')
        (echo > /dev/tcp/$address/9) 2>&1 | grep -o 'Connection refused'
        gone"#,
        &["eth0", "lo", "Connection refused"],
    ),
    operation(
        "processes that join",
        r#"
        $run -d --name everyday --env A=a --cap-add MKNOD $i sleep 1000 > /dev/null
        try $e exec everyday sh -c 'echo inside; exit 4'
        echo hello | $e exec -i everyday cat
        $e exec --user 5:6 --workdir /usr --env B=b everyday sh -c 'id; pwd; echo $A $B; cat /proc/self/attr/current
            while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:|Groups:) echo $key $value;; esac; done < /proc/self/status'
        $e exec --privileged everyday sh -c 'while read -r key value; do case $key in Cap*|Seccomp:) echo $key $value;; esac; done < /proc/self/status'
        try $e exec everyday /no/such/program > /dev/null 2>&1; try $e exec everyday /no/such/program 2> /dev/null | tail -n 1
        try $e exec everyday /etc/passwd 2> /dev/null | tail -n 1
        try $e exec --workdir /no/such everyday true 2> /dev/null | tail -n 1
        $e exec -d everyday sh -c 'echo detached > /detached' > /dev/null; until_ $e exec everyday test -s /detached; $e exec everyday cat /detached
        $e top everyday | awk '{ print $NF }'
        gone"#,
        &["inside", "= 4", "hello", "uid=5 gid=6 groups=6", "/usr", "a b", "detached"],
    )
    .and_delegated(),
    operation(
        "logs, pause, files, statistics, limits of one that runs",
        r#"
        $run -d --name everyday --memory 128m $i sh -c 'echo started; exec sleep 1000' > /dev/null
        until_ sh -c "$e logs everyday | grep started"; $e logs everyday
        $e pause everyday > /dev/null; of everyday .State.Status; try $e exec everyday true 2> /dev/null | tail -n 1
        $e unpause everyday > /dev/null; of everyday .State.Status
        $e stats --no-stream --format '{{.Name}} {{.PIDs}}' everyday
        $e update --memory 256m --memory-swap 512m --cpus 0.5 --pids-limit 66 everyday > /dev/null
        $e exec everyday sh -c 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max'
        echo copied > file; $e cp file everyday:/tmp/file; $e exec everyday cat /tmp/file; $e cp everyday:/tmp/file back; cat back
        $e diff everyday | sort
        $e commit everyday everyday-image > /dev/null 2>&1; $run --rm everyday-image cat /tmp/file; $e rmi everyday-image > /dev/null
        gone"#,
        &["started", "paused", "running", "everyday 1", "268435456", "50000 100000", "66", "copied"],
    ),
    operation(
        "stopping, signals, starting again",
        r#"
        $run -d --name everyday $i sh -c 'trap "echo usr1" USR1; trap "echo term; exit 5" TERM; echo ready; while :; do sleep 0.1; done' > /dev/null
        until_ sh -c "$e logs everyday | grep ready"; $e kill -s USR1 everyday > /dev/null; until_ sh -c "$e logs everyday | grep usr1"
        $e stop -t 20 everyday > /dev/null; of everyday .State.ExitCode; $e logs everyday
        $e start everyday > /dev/null; $e kill everyday > /dev/null; $e wait everyday
        $e restart -t 0 everyday > /dev/null; of everyday .State.Running; $e stop -t 0 everyday > /dev/null; of everyday .State.Running
        $e rm everyday > /dev/null
        $run --name everyday $i echo again; $e start -a everyday; $e rm everyday > /dev/null"#,
        &["ready", "usr1", "term", "5", "137", "true", "false", "again"],
    )
    .and_delegated(),
    operation(
        "restart policy, and a health check",
        r#"
        $run -d --name everyday --restart on-failure:1 $i sh -c 'exit 9' > /dev/null
        until_ says everyday .RestartCount 1; until_ says everyday .State.Status exited; of everyday '.RestartCount}} {{.State.ExitCode'
        $e rm everyday > /dev/null
        $run -d --name everyday --health-cmd 'test -e /healthy' --health-interval 2s --health-retries 1 $i sleep 1000 > /dev/null
        until_ says everyday .State.Health.Status unhealthy; of everyday .State.Health.Status
        $e exec everyday touch /healthy; until_ says everyday .State.Health.Status healthy; of everyday .State.Health.Status
        gone"#,
        &["1 9", "unhealthy", "healthy"],
    ),
    operation(
        "limits that bite",
        r#"
        $run -d --name everyday --memory 24m --memory-swap 24m -v $m:/m $i sh -c 'until [ -e /m/go ]; do sleep 0.1; done; exec tail /dev/zero' > /dev/null
        # containerd begins to look for it once the container runs, and the word of it may come after the container's end. conmon learns of
        # it too late as often as not. Both whatever the runtime.
        touch go; echo "= $($e wait everyday)"
        [ $e = podman ] || until_ says everyday .State.OOMKilled true
        $e rm everyday > /dev/null
        try $run --rm --pids-limit 30 --ulimit fsize=1000 $i sh -c 'head -c 2000 /dev/zero > /tmp/f; echo "= $?, $(stat -c %s /tmp/f)"
            for n in 0 1 2 3 4 5 6 7 8 9; do for m in 0 1 2 3; do sleep 9 & done; done; echo more than allowed' 2> /dev/null"#,
        &["= 137", "= 153, 1000", "= 2"],
    ),
    operation(
        "volumes",
        r#"
        $run --rm -v everyday:/v $i sh -c 'echo kept > /v/file'
        $run --rm -v everyday:/v:ro -v /etc/hostname:/there/is/no/such:ro $i sh -c 'exec 2>&1; cat /v/file; echo x > /v/file || echo read-only; cat /there/is/no/such | wc -l'
        $run --rm --tmpfs /var:size=2m -v everyday:/var/lib/kept $i sh -c 'exec 2>&1; ls /var/lib/kept; stat -c "%n %a %u" /var /var/lib; stat -f -c %T /var'
        $e volume rm everyday
        mkdir shared; $run --rm --mount type=bind,src=$m/shared,dst=/s,bind-propagation=rslave $i sh -c 'echo from-inside > /s/file'; cat shared/file"#,
        &["kept", "everyday", "from-inside"],
    ),
    operation(
        "seccomp and AppArmor profiles",
        r#"
        echo '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }] }' > profile
        $run --rm --security-opt seccomp=$m/profile $i sh -c 'exec 2>&1; mkdir /tmp/x; ls -d /tmp/x'
        $run --rm --security-opt seccomp=unconfined --security-opt apparmor=unconfined $i sh -c '
            cat /proc/self/attr/current; while read -r key value; do case $key in Seccomp*) echo $key $value;; esac; done < /proc/self/status'"#,
        &["mkdir: cannot create directory '/tmp/x': Permission denied", "Seccomp: 0"],
    ),
    operation(
        "a large environment, and many arguments",
        r#"
        for n in $(seq 38); do echo V$n=$(head -c 50000 /dev/zero | tr '\0' x); done > env
        $run --rm --env-file env $i sh -c 'env | wc -c > /tmp/n; read n < /tmp/n; [ $n -gt 1900000 ] && echo all of it; echo $#' sh $(seq 2000)"#,
        &["all of it", "2000"],
    ),
    operation(
        "an init process",
        r#"
        $run --rm --init $i sh -c '
            read -r _ name _ < /proc/1/stat; echo $name; sh -c "sleep 0.1 &"
            until [ $(ls -d /proc/[0-9]* 2> /dev/null | wc -l) = 4 ]; do :; done; echo reaped'"#,
        &["reaped"],
    )
    .with_only("docker"),
    operation(
        "a user namespace of its own",
        r#"
        grep -q ^containers: /etc/subuid || echo containers:1000000:200000 | tee -a /etc/subuid >> /etc/subgid
        $run --rm --userns=auto:size=70000 $i sh -c 'exec 2>&1
            id; while read -r in out size; do echo $in $size; done < /proc/self/uid_map; touch /x; stat -c "%u %g" /x /dev/null
            mknod /y b 254 0; echo 1 > /proc/sys/kernel/domainname; cat /proc/self/setgroups; tail -n 1 /etc/hosts | wc -l'
        mkdir -m 700 closed; echo inside > closed/file; chmod 644 closed/file; mkdir -m 755 closed/folder; echo below > closed/folder/file
        $run --rm --userns=auto:size=70000 -v $m/closed/file:/file:ro -v $m/closed/folder:/there/folder --tmpfs /scratch $i sh -c 'exec 2>&1
            cat /file /there/folder/file; echo x > /file; touch /there/folder/new; touch /scratch/new && ls /scratch
            while read -r _ at kind flags _; do case $at in /file|/there*|/scratch) echo $at $kind $flags;; esac; done < /proc/mounts | sort'
        ls -d /tmp/runvf-* /var/tmp/runvf-* /run/runvf-shelf/* 2> /dev/null | wc -l"#,
        &["uid=0(root) gid=0(root) groups=0(root)", "0 70000", "inside", "below", "new", "0"],
    )
    .with_only("podman")
    .and_delegated_under("podman"),
    operation(
        "volumes, and what the host mounts in them later",
        r#"
        for how in '' :rslave; do
            mkdir -p $m/v/sub; mount --bind $m/v $m/v; mount --make-shared $m/v
            $run -d --name everyday -v $m/v:/v$how $i sleep 1000 > /dev/null
            mount -t tmpfs none $m/v/sub; touch $m/v/sub/late
            echo "$how: $($e exec everyday ls /v/sub)"; $e exec everyday grep ' /v' /proc/self/mountinfo | grep -c shared:
            umount $m/v/sub; gone; umount $m/v
        done"#,
        &[": ", ":rslave: late"],
    )
    .with_only("docker"),
    operation(
        "devices that are there already",
        r#"
        mkdir $m/nodes; mknod $m/nodes/there c 1 3
        $run --rm --device $m/nodes/there:/dev/nodes/there -v $m/nodes:/dev/nodes --device /dev/null:/dev/twice --device /dev/zero:/dev/twice \
            $i ls -l /dev/nodes /dev/twice 2>&1 | grep -oE 'there$|/dev/twice$'
        $run --rm --privileged -v /dev/input:/dev/input $i ls /dev/input | wc -l"#,
        &["there", "/dev/twice"],
    ),
    operation(
        "whoever is not root, and the standard streams",
        r#"
        inside='echo out > /dev/stdout; echo err > /dev/stderr; stat -L -c %u /proc/self/fd/1 /proc/self/fd/2; id -u'
        try $run --rm --user 1000:5 $i sh -c "$inside" 2> err; cat err
        $run -d --name everyday $i sleep 1000 > /dev/null
        try $e exec -u 1000 everyday sh -c "$inside" 2> err; cat err
        echo typed | try $e exec -i -u 1000 everyday sh -c 'cat < /dev/stdin'
        inside='tty; stat -c "%u %g" $(tty); echo written > $(tty); echo to all > /dev/stderr; id; grep -e Cap -e NoNew -e Seccomp: /proc/self/status'
        script -qec "timeout 60 $run --rm -it --user 1000:5 $i sh -c '$inside'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
        script -qec "timeout 60 $e exec -it -u 1000:5 everyday sh -c '$inside'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
        script -qec "timeout 60 $e exec -it everyday sh -c '$inside'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
        gone"#,
        &["out", "err", "1000", "1000 5", "written", "to all", "typed", "= 0"],
    ),
    operation(
        "exec in a user namespace",
        r#"
        grep -q ^containers: /etc/subuid || echo containers:1000000:200000 | tee -a /etc/subuid >> /etc/subgid
        $run -d --name everyday --userns=auto:size=70000 --health-cmd 'test -e /x' $i sleep 1000 > /dev/null
        cat > inside <<-'END'
			exec 2>&1
			id; echo $HOME; cat /proc/self/attr/current
			while read -r in out size; do echo $in $size; done < /proc/self/uid_map
			cat /proc/self/status > /tmp/s.$$
			while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp*|Groups:) echo $key $value;; esac; done < /tmp/s.$$
			touch /x && stat -c "%u %g" /x /tmp/s.$$
			mknod /y b 254 0; echo 1 > /proc/sys/kernel/domainname; cat /proc/1/environ > /dev/null && echo read
			ls -l /proc/self/ns | wc -l; kill -0 1 && echo reached
		END
        try $e exec everyday sh -c "$(cat inside)"
        try $e exec -u 1000:5 everyday sh -c "$(cat inside)"
        try $e exec -u 5 -w /tmp -e HOME= everyday sh -c 'id; echo $HOME; pwd; umask'
        try $e exec --privileged everyday sh -c "$(cat inside)"
        try $e exec everyday /no/such/program 2> /dev/null
        try $e exec -u 1000 everyday /etc/passwd 2> /dev/null
        try $e healthcheck run everyday
        script -qec "timeout 60 $e exec -it -u 1000 everyday sh -c 'tty; stat -c %u \$(tty); echo written > \$(tty)'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
        try $e exec -u 80000 everyday id 2> /dev/null
        gone"#,
        &["uid=0(root) gid=0(root) groups=0(root)", "0 70000", "reached", "= 127", "= 126", "/dev/pts/0", "1000", "written"],
    )
    .with_only("podman"),
    operation(
        "a pod",
        r#"
        $e pod create --name everyday --infra=false > /dev/null
        $run -d --pod everyday --name first $i sleep 1000 > /dev/null; $e exec first echo in the pod
        $e pod stop -t 0 everyday > /dev/null 2>&1; of first .State.Status; $e pod rm -f everyday > /dev/null"#,
        &["in the pod", "exited"],
    )
    .with_only("podman"),
];

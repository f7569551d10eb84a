#!/bin/bash
# The confinement of a container, by options. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
head -c 16 /dev/zero > file; echo A=from-file > ./env
$run --rm --user 1234:4321 --group-add 77 --cap-drop ALL --cap-add NET_RAW --security-opt no-new-privileges --read-only \
    --tmpfs /scratch:size=1m,mode=1777 --hostname everyday --env-file env --env B=b --workdir /proc --ulimit nofile=77:99 \
    --ulimit core=0 --sysctl net.ipv4.ip_default_ttl=42 --oom-score-adj 77 --device /dev/vda:/dev/disk:r --shm-size 2m \
    --memory 128m --memory-reservation 64m --cpus 0.5 --cpu-shares 512 --pids-limit 55 --cpuset-cpus 0 \
    -v $dir/file:/file:ro --mount type=tmpfs,dst=/mnt,tmpfs-size=1m --add-host other:10.1.2.3 $image sh -c 'exec 2>&1
    id; pwd; cat /proc/sys/kernel/hostname; echo $A $B; ulimit -n; ulimit -Hn; ulimit -c
    while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:|Groups:|Cpus_allowed_list:) echo $key $value;; esac; done < /proc/self/status
    touch /no /scratch/yes; ls /scratch; echo x > /file; stat -c %s /file
    for at in /scratch /mnt /dev/shm; do stat -f -c "%n %T %b" $at; done
    cat /proc/sys/net/ipv4/ip_default_ttl /proc/self/oom_score_adj; ls /sys/class/net
    cd /sys/fs/cgroup; for f in memory.max memory.low cpu.max pids.max cpuset.cpus; do echo $f $(cat $f); done
    stat -c "%n %F %t %T" /dev/disk; grep other /etc/hosts'

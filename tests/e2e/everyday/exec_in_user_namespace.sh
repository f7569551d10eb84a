#!/bin/bash
# Exec in a user namespace. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
grep -q ^containers: /etc/subuid || echo containers:1000000:200000 | tee -a /etc/subuid >> /etc/subgid
$run -d --name everyday --userns=auto:size=70000 --health-cmd 'test -e /x' $image sleep 1000 > /dev/null
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
try $engine exec everyday sh -c "$(cat inside)"
try $engine exec -u 1000:5 everyday sh -c "$(cat inside)"
try $engine exec -u 5 -w /tmp -e HOME= everyday sh -c 'id; echo $HOME; pwd; umask'
try $engine exec --privileged everyday sh -c "$(cat inside)"
try $engine exec everyday /no/such/program 2> /dev/null
try $engine exec -u 1000 everyday /etc/passwd 2> /dev/null
try $engine healthcheck run everyday
script -qec "timeout 60 $engine exec -it -u 1000 everyday sh -c 'tty; stat -c %u \$(tty); echo written > \$(tty)'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
try $engine exec -u 80000 everyday id 2> /dev/null
remove

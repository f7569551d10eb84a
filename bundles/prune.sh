#!/bin/bash
# Takes out of an unpacked root what a sensor never opens.  apt's own folders stay: mmdebstrap empties them itself.
#
# usage: prune.sh ROOT
set -euo pipefail
cd "$1"

rm -rf usr/share/{doc,man,info,locale,lintian,bug,zoneinfo,perl5,python3,debconf,dpkg,gcc,gdb,pixmaps,polkit-1} \
    usr/share/{bash-completion,common-licenses,base-files,base-passwd,debianutils,apparmor,keyrings,doc-base,menu} \
    usr/include usr/lib/locale usr/lib/x86_64-linux-gnu/{gconv,perl-base,perl} \
    usr/lib/{apt,dpkg,systemd,tmpfiles.d,sysusers.d,file,python3*,suricata} \
    usr/bin/{python3*,pydoc*,perl*,dpkg*,debconf*,deb-systemd-*,localedef,suricatactl,suricatasc} \
    usr/bin/{py*,pdb3*,mawk,tar,ss,rdma,nstat,lnstat,rtstat,ctstat,iconv,zdump,tzselect,ldd,pldd,getconf} \
    usr/libexec/{dpkg,x86_64-linux-gnu} var/lib/systemd \
    etc/{dpkg,cron.d,cron.daily,logrotate.d,init.d,systemd,update-motd.d,default,apparmor.d,perl,python3*}

find usr/sbin -mindepth 1 ! -name ip -delete

# Of the libraries, what the programs that are left load. A package's dependencies also serve its maintainer scripts
# and the programs that have just gone.
declare -A needed
while read -r file; do
    needed[$(realpath --relative-to=. ".$file")]=1
done < <(
    for program in usr/bin/* usr/sbin/*; do
        chroot . /lib64/ld-linux-x86-64.so.2 --list "/$program" 2> /dev/null || true
    done | grep -o '/[^ ]*\.so[^ ]*' | sed 's|^/lib|/usr/lib|' | sort -u
)
find usr/lib/x86_64-linux-gnu ! -type d | while read -r file; do
    # A link stays when what it leads to stays.
    target=$(realpath --canonicalize-missing --relative-to=. "$file")
    # glibc opens these by name, at run time.
    [[ ${needed[$target]:-} || $file == */libnss_files* || $file == */libgcc_s* || $file == */ld-linux* ]] || rm "$file"
done
find usr/lib/x86_64-linux-gnu -type d -empty -delete

# A host's AppArmor profile for /usr/bin/tcpdump also takes hold of a program of that path in a container
# that has no profile of its own, and then the runtime may not even signal it.
mkdir -p usr/local/bin
for program in tcpdump suricata; do
    [ ! -e "usr/bin/$program" ] || mv "usr/bin/$program" usr/local/bin
done

# base-passwd writes these in its maintainer script.
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'root:x:0:' > etc/group
mkdir -p var/log/sensor

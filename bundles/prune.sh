#!/bin/bash
# Removes the files that a sensor never opens from an unpacked root. apt's directories stay, because mmdebstrap empties them.
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

find usr/sbin -mindepth 1 ! -name ip ! -name argus -delete
# Of Argus's thirty clients, those that read and merge records.
find usr/bin -name 'ra*' ! -name ra ! -name racluster ! -name rasort -delete

# Keep only the libraries that the remaining programs load. A package also depends on libraries for its maintainer scripts
# and for the programs that were removed above.
declare -A needed
while read -r file; do
    needed[$(realpath --relative-to=. ".$file")]=1
done < <(
    for program in usr/bin/* usr/sbin/*; do
        chroot . /lib64/ld-linux-x86-64.so.2 --list "/$program" 2> /dev/null || true
    done | grep -o '/[^ ]*\.so[^ ]*' | sed 's|^/lib|/usr/lib|' | sort -u
)
find usr/lib/x86_64-linux-gnu ! -type d | while read -r file; do
    # A symlink stays if its target stays.
    target=$(realpath --canonicalize-missing --relative-to=. "$file")
    # glibc loads these by name at run time.
    [[ ${needed[$target]:-} || $file == */libnss_files* || $file == */libgcc_s* || $file == */ld-linux* ]] || rm "$file"
done
find usr/lib/x86_64-linux-gnu -type d -empty -delete

# The host's AppArmor profile for /usr/bin/tcpdump also applies to a program at that path in a container without a profile
# of its own. The runtime then cannot even send it a signal.
mkdir -p usr/local/bin
for program in bin/tcpdump bin/suricata sbin/argus; do
    [ ! -e "usr/$program" ] || mv "usr/$program" usr/local/bin
    # Docker gives a user other than root no ambient capability, so the program itself has it. A container without NET_RAW
    # in its bounding set then cannot start the program.
    program=usr/local/bin/$(basename "$program")
    [ ! -e "$program" ] || setcap cap_net_raw+ep "$program"
done

# The maintainer script of base-passwd, which does not run, would write these.
printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'sensor:x:999:999:sensor:/:/bin/sh' > etc/passwd
printf '%s\n' 'root:x:0:' 'sensor:x:999:' > etc/group
# Each of them may be a volume, which takes the mode from here, and may be written by any user of the sensor.
mkdir -p var/log/sensor var/log/suricata var/log/argus
chmod 1777 var/log/sensor var/log/suricata var/log/argus

#!/bin/bash
# Sends frames by $command, and prints how many of them tcpdump sees on the wire, on $mirror, within two seconds: a VF's frames
# take milliseconds, also on an emulated CPU. The test also counts frames that must arrive, so the time is long enough.
: "${command:?}" "${mirror:?}"
rm -f /run/wire.pcap
tcpdump -nn -U --immediate-mode -Z root -i "$mirror" -w /run/wire.pcap < /dev/null > /run/wire.log 2>&1 &
tcpdump=$!
until grep -q 'listening on' /run/wire.log; do
    kill -0 "$tcpdump" || { cat /run/wire.log; exit 1; }
done
eval "$command"
sleep 2
kill -INT "$tcpdump"
wait "$tcpdump"
# tcpdump does not know the EtherType, so it prints the bytes of each frame as well, on lines that begin with a tab.
tcpdump -nn -r /run/wire.pcap 'ether proto 0x88b5 or (vlan and ether proto 0x88b5)' 2> /dev/null |
    awk '/^[0-9]/ { frames++ } END { print frames + 0 }'

#!/bin/bash
# Upgrades the package while the container `sensor` runs.
docker run -d --name sensor --runtime runvf --annotation io.runvf.vlan=200 runvf/tcpdump sleep 1000
dpkg -i /tmp/two.deb
dpkg-query -W -f '${Version}' runvf | grep '+1$'
docker exec sensor cat /sys/class/net/mon0/carrier

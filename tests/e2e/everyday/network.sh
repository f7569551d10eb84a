#!/bin/bash
# A network of its own. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$wired -d --name everyday -p 127.0.0.1:8080:80 $image sleep 1000 > /dev/null
$engine exec everyday sh -c 'ls /sys/class/net; cat /sys/class/net/*/operstate; ip route show default | wc -l'
gateway=$(of everyday '.NetworkSettings.Gateway'); [ -n "$gateway" ] || gateway=$(of everyday 'range .NetworkSettings.Networks}}{{.Gateway}}{{end')
address=$(of everyday '.NetworkSettings.IPAddress'); [ -n "$address" ] || address=$(of everyday 'range .NetworkSettings.Networks}}{{.IPAddress}}{{end')
(echo > /dev/tcp/$address/9) 2>&1 | grep -o 'Connection refused'
remove

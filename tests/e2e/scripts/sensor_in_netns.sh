#!/bin/bash
# Runs the bundle $sensor under runc in the netns of VLAN $vlan.
: "${sensor:?}" "${vlan:?}"
cd "/var/lib/runvf-bundles/$sensor" || exit
jq "(.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/t$vlan\"" config.json > config.new
mv config.new config.json
runc run --detach "$sensor" < /dev/null > "/run/$sensor.out" 2>&1

#!/bin/bash
# Volumes. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run --rm -v everyday:/v $image sh -c 'echo kept > /v/file'
$run --rm -v everyday:/v:ro -v /etc/hostname:/there/is/no/such:ro $image sh -c 'exec 2>&1; cat /v/file; echo x > /v/file || echo read-only; cat /there/is/no/such | wc -l'
$run --rm --tmpfs /var:size=2m -v everyday:/var/lib/kept $image sh -c 'exec 2>&1; ls /var/lib/kept; stat -c "%n %a %u" /var /var/lib; stat -f -c %T /var'
$engine volume rm everyday
mkdir shared; $run --rm --mount type=bind,src=$dir/shared,dst=/s,bind-propagation=rslave $image sh -c 'echo from-inside > /s/file'; cat shared/file
# An image with a volume below /proc.
$run --name everyday $image true; $engine commit --change 'VOLUME /proc' everyday everyday:proc > /dev/null 2>&1; remove
$run --rm everyday:proc true > /dev/null 2>&1 && echo /proc ran || echo /proc refused
$engine rmi -f everyday:proc > /dev/null

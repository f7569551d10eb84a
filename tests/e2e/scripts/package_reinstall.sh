#!/bin/bash
# Removes the package and installs it again: the timer and the unit are enabled as before.
dpkg -r runvf
! systemctl is-active runvf-gc.timer
dpkg -i /tmp/two.deb
systemctl is-active runvf-gc.timer
systemctl is-enabled runvf-setup.service
runvfctl install docker

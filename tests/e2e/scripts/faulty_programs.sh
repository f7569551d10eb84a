#!/bin/bash
# Puts a wrapper in the place of each program of runvf. An engine passes no environment to them, so a wrapper sets the
# fault, for one call: see `prepare_fault`.
set -e
for program in /usr/bin/runvf /usr/bin/runvfctl /usr/libexec/runvf/runvf-hook /usr/libexec/netavark/runvf; do
    mkdir -p "/usr/lib/faulty${program%/*}"
    mv "$program" "/usr/lib/faulty$program"
    cat > "$program" << 'WRAPPER'
#!/bin/bash
if [ -e /run/fault ]; then
    read -r verb setting < /run/fault
    if [[ " $* " == *" $verb "* ]] && mv /run/fault /run/fault.met 2> /dev/null; then export "${setting?}"; fi
fi
exec "/usr/lib/faulty$0" "$@"
WRAPPER
    chmod 755 "$program"
done

#!/bin/bash
# After bundle.sh: prints how a device opens that the spec allows and then denies for writing, and that it allows for
# reading and for writing by two rules.
: "${runtime:?}"
rule() {  # ALLOW MINOR ACCESS
    echo "{\"allow\": $1, \"type\": \"c\", \"major\": 1, \"minor\": $2, \"access\": \"$3\"}"
}
none='{"allow": false, "access": "rwm"}'
open_kmsg() {  # RULES
    write_config ".linux.resources.devices = [$none, $1] | .root.readonly = false
        | .process.capabilities[] += [\"CAP_MKNOD\", \"CAP_SYSLOG\"] | .process.args = [\"sh\", \"-c\", \"mknod /tmp/kmsg c 1 11
        (exec 3< /tmp/kmsg) 2> /dev/null && echo read
        (exec 3> /tmp/kmsg) 2> /dev/null && echo write
        (exec 3<> /tmp/kmsg) 2> /dev/null && echo both
        rm /tmp/kmsg\"]"
    "$runtime" run --bundle . test < /dev/null 2>&1
}
open_kmsg "$(rule true 11 rwm), $(rule false 11 w)"
open_kmsg "$(rule true 11 r), $(rule true 11 w)"

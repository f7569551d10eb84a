#!/bin/bash
# After bundle.sh: prints how a device opens that the spec allows and then denies for writing, and that it allows for
# reading and for writing by two rules.
: "${runtime:?}"
rule() {  # ALLOW MINOR ACCESS
    echo "{\"allow\": $1, \"type\": \"c\", \"major\": 1, \"minor\": $2, \"access\": \"$3\"}"
}
none='{"allow": false, "access": "rwm"}'
open_kmsg() {  # RULES. In /dev, because /tmp is nodev.
    write_config ".linux.resources.devices = [$none, $1]
        | .process.capabilities[] += [\"CAP_MKNOD\", \"CAP_SYSLOG\"] | .process.args = [\"sh\", \"-c\", \"mknod /dev/test c 1 11
        (exec 3< /dev/test) 2> /dev/null && echo read
        (exec 3> /dev/test) 2> /dev/null && echo write
        (exec 3<> /dev/test) 2> /dev/null && echo both
        rm /dev/test\"]"
    "$runtime" run --bundle . test < /dev/null 2>&1
}
open_kmsg "$(rule true 11 rwm), $(rule false 11 w)"
open_kmsg "$(rule true 11 r), $(rule true 11 w)"

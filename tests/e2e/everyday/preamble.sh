#!/bin/bash
# Begins every operation. $engine is the program of the engine, and $wired the command that starts a container on the
# engine's network. $run starts a container without a network, because a network takes a third of the time of a container
# on an emulated CPU.
: "${engine:?}" "${wired:?}"
export run="$wired --network none" image=runvf/tcpdump dir=/tmp/everyday
rm -rf $dir
mkdir $dir
cd $dir || exit

# Prints the exit status of a command as a line.
try() {
    "$@"
    echo "= $?"
}

# Prints a property of a container.
of() { $engine inspect --type container -f "{{$2}}" "$1"; }

says() { [ "$(of "$1" "$2")" = "$3" ]; }

# Waits until a command succeeds, for at most 30 s.
wait_for() {
    for _ in $(seq 60); do
        "$@" > /dev/null 2>&1 && return
        sleep 0.5
    done
    echo "waited in vain: $*"
}

# Without -t, Podman would give the process ten seconds to end.
remove() {
    if [ "$engine" = podman ]; then podman rm -f -t 0 everyday; else docker rm -f everyday; fi > /dev/null
}

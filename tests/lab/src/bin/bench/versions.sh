# shellcheck shell=bash
# Prints the kernel, the number of CPUs and the versions of the engines and runtimes in one line.
echo "guest: Linux $(uname -r), $(nproc) CPUs, $(runc --version | head -1), $(crun --version | head -1)," \
    "$(docker --version), $(podman --version)"

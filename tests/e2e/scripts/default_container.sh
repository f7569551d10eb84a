#!/bin/bash
# Runs attempts.pl in a default container of Docker: as a process that exec adds, and as its init process.
: "${runtime:?}" "${image:?}"
name=closed-$runtime
disk=$(stat -c %Hr:%Lr /dev/vda)
# Perl makes any system call, and needs no library that the image lacks.
volumes=(-v /usr/bin/perl:/usr/bin/perl:ro -v /tmp/attempts.pl:/tmp/attempts.pl:ro)
# With one hostname, because the hostname is in the table of mounts.
docker run -d --name "$name" --network none --hostname closed --runtime "$runtime" "${volumes[@]}" "$image" \
    sh -c "perl /tmp/attempts.pl $disk; exec sleep 1000" > /dev/null
docker exec "$name" perl /tmp/attempts.pl "$disk"
echo
docker logs "$name"
docker rm -f "$name" > /dev/null

#!/bin/bash
# Prints what was killed, what was left, and how many containers of each worker ran.
cd /tmp/soak || exit
sort killed | uniq -c
cat left
for done in *.done; do
    worker=${done%.done}
    echo "$worker: $(wc -l < "$done") done, $(wc -l 2> /dev/null < "$worker.failed" || echo 0) failed"
done
cat ./*.failed | sed -E 's/-[0-9]+:/:/; s/[0-9a-f]{64}/ID/g' | sort | uniq -c | sort -rn

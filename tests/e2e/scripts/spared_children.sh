#!/bin/bash
# After bundle.sh: a process with a child becomes a runtime, which fails to create a container.
: "${runtime:?}"
write_config '.process.args = ["/no/such/program"]'
bash -c "sleep 1000 < /dev/null &> /dev/null & echo \$! > other; exec $runtime run --bundle . test" < /dev/null 2> /dev/null || echo failed
kill "$(< other)" && echo spared

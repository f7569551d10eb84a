#!/bin/bash
# A terminal, its size, and a change of its size. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
cat > inside <<-'END'
			tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal
			until [ "$(stty size)" = "33 77" ]; do :; done
			echo sized
		END
script -qec "stty rows 33 cols 77; timeout 60 $run --rm -it $image sh -c '$(cat inside)'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
$run -d --name everyday $image sleep 1000 > /dev/null
script -qec "stty rows 33 cols 77; timeout 60 $engine exec -it everyday sh -c '$(cat inside)'" /dev/null < /dev/null | tr -d '\r' | sed 's/\^@//g'
remove

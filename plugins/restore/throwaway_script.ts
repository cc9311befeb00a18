/** The shell scripts that start a throw-away server and hold it; any POSIX shell runs them. */

/**
 * Starts the holder in a session of its own, where there is a program for that: what is sent to this
 * process's group, KILL in the end, must not keep the holder from removing what it has made. TERM is
 * passed on.
 */
export const STARTER = `
holder=$1
shift
exec 3<&0 </dev/null
if command -v setsid >/dev/null 2>&1
then setsid /bin/sh -c "$holder" observatory-verify "$@" <&3 &
else /bin/sh -c "$holder" observatory-verify "$@" <&3 &
fi
child=$!
exec 3<&-
trap 'kill -TERM "$child" 2>/dev/null' HUP INT TERM
while kill -0 "$child" 2>/dev/null
do wait "$child"
done
`;

/**
 * Makes the directory and the data, runs the server, and stops it when standard input ends, or at
 * TERM. Tells the directory first; when the server does not start, or ends by itself, the end of its
 * log; and ends when nothing is left.
 */
export const HOLDER = `
parent=$1 initdb=$2 postgres=$3
shift 3
exec 3<&0 </dev/null
trap '' HUP INT PIPE
over=
trap 'over=1' TERM
umask 077
cd / || exit 1
directory=$(mktemp -d "$parent/observatory-verify-XXXXXXXX") || exit 1
echo "directory $directory"
if
  "$initdb" --pgdata="$directory/data" --username=postgres --auth=trust --encoding=UTF8 \\
    --locale=C --no-sync >"$directory/log" 2>&1 3<&- && [ -z "$over" ]
then
  "$postgres" -D "$directory/data" -k "$directory" -p 5432 "$@" >"$directory/log" 2>&1 3<&- &
  server=$!
  {
    cat <&3 &
    reader=$!
    trap ':' TERM
    wait "$reader"
    kill "$reader"
    ticks=0
    while kill -0 "$server"
    do
      # A server that has just been started does not hear the first one.
      [ "$((ticks % 10))" -ne 0 ] || kill -INT "$server"
      ticks=$((ticks + 1))
      [ "$ticks" -ne 40 ] || kill -QUIT "$server"
      [ "$ticks" -ne 200 ] || kill -KILL "$server"
      sleep 0.05
    done
  } >/dev/null 2>&1 &
  stopper=$!
  exec 3<&-
  trap 'kill -TERM "$stopper" 2>/dev/null' TERM
  while kill -0 "$server" 2>/dev/null
  do wait "$server"
  done
  kill -TERM "$stopper" 2>/dev/null
  wait "$stopper"
fi
tail -n 20 "$directory/log" 2>/dev/null
for try in 1 2 3 4 5
do
  rm -rf "$directory" 2>/dev/null && break
  sleep 0.2
done
`;

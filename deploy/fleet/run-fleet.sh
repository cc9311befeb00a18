#!/bin/sh
# Runs one command on every target of a file, some at a time, and reports once.
#
#   run-fleet.sh [-P JOBS] [-o DIRECTORY] FILE COMMAND [ARGUMENT...]
#   run-fleet.sh -P 8 -o /var/log/observatory/fleet fleet.txt migrate
#
# FILE is what --targets takes (observatory help targets). DIRECTORY gets results.jsonl, a line for
# each target with its exit code (null: not run) and what --json printed, and N.log with what it said; without -o a
# new one is made. OBSERVATORY names the program, where it is not on the PATH.
#
# Ends with 0 when every run did, and with 1 otherwise: the others were run nevertheless.
set -eu

meaning() {
  case $1 in
    null) echo "not run" ;;
    0) echo "ok" ;;
    1) echo "failed" ;;
    2) echo "usage or configuration" ;;
    3) echo "worked, and found problems" ;;
    4) echo "refused" ;;
    5) echo "cannot connect or log in" ;;
    6) echo "locked by another run" ;;
    70) echo "a bug" ;;
    126 | 127) echo "the program cannot be started" ;;
    *) if [ "$1" -gt 128 ]; then echo "ended by signal $(($1 - 128))"; else echo "failed"; fi ;;
  esac
}

# One target: its place is the last argument, since xargs puts it there.
run_one() {
  turns=$#
  while [ "$turns" -gt 1 ]; do
    first=$1
    shift
    set -- "$@" "$first"
    turns=$((turns - 1))
  done
  index=$1
  shift
  # A signal is the program's to hear, and this waits for what it says of it.
  trap : INT TERM
  echo "$$" >"$FLEET_DIRECTORY/$index.running"
  started=$(date +%s)
  code=0
  "$OBSERVATORY" "$@" --json --log-format text --targets "$FLEET_FILE" --target-index "$index" \
    >"$FLEET_DIRECTORY/$index.json" 2>"$FLEET_DIRECTORY/$index.log" </dev/null || code=$?
  printf '%s %s\n' "$code" "$(($(date +%s) - started))" >"$FLEET_DIRECTORY/$index.exit"
  rm "$FLEET_DIRECTORY/$index.running"
}

# Whether a run of an earlier line goes on: xargs does not wait for them when it is ended itself.
running() {
  for file in "$FLEET_DIRECTORY"/*.running; do
    if [ -e "$file" ] && kill -0 "$(cat "$file")" 2>/dev/null; then return 0; fi
  done
  return 1
}

fail() {
  echo "run-fleet.sh: $1" >&2
  exit 2
}

if [ "${1:-}" = --one ]; then
  shift
  run_one "$@"
  exit 0
fi

jobs=8
directory=
while getopts P:o: option; do
  case $option in
    P) jobs=$OPTARG ;;
    o) directory=$OPTARG ;;
    *) fail "usage: run-fleet.sh [-P JOBS] [-o DIRECTORY] FILE COMMAND [ARGUMENT...]" ;;
  esac
done
shift $((OPTIND - 1))
[ "$#" -ge 2 ] || fail "usage: run-fleet.sh [-P JOBS] [-o DIRECTORY] FILE COMMAND [ARGUMENT...]"
FLEET_FILE=$1
shift
[ -r "$FLEET_FILE" ] || fail "cannot read \"$FLEET_FILE\""
# What is neither blank nor a comment is a target, whether it can be read or not.
count=$(grep -c '^[[:space:]]*[^#[:space:]]' "$FLEET_FILE" || true)
[ "$count" -gt 0 ] || fail "\"$FLEET_FILE\" has no targets"
if [ -n "$directory" ]; then mkdir -p "$directory"; else directory=$(mktemp -d); fi
FLEET_DIRECTORY=$directory
OBSERVATORY=${OBSERVATORY:-observatory}
export FLEET_FILE FLEET_DIRECTORY OBSERVATORY
rm -f "$directory"/*.exit "$directory"/*.json "$directory"/*.log "$directory"/*.running \
  "$directory/results.jsonl"

# Ctrl-C ends the runs; the report is made for all that.
trap : INT
awk -v count="$count" 'BEGIN { for (n = 0; n < count; n++) print n }' |
  xargs -P "$jobs" -n 1 sh "$0" --one "$@" || true
while running; do sleep 1; done
trap - INT

ok=0
failed=0
index=0
printf '%5s  %-32s  %4s  %5s  %s\n' INDEX TARGET EXIT TIME RESULT
while [ "$index" -lt "$count" ]; do
  log=$directory/$index.log
  # Without an end it was never begun: the run over the fleet was broken off.
  code=null
  seconds=0
  if [ -r "$directory/$index.exit" ]; then read -r code seconds <"$directory/$index.exit"; fi
  result=$(cat "$directory/$index.json" 2>/dev/null || true)
  printf '{"index":%s,"exit":%s,"seconds":%s,"result":%s}\n' \
    "$index" "$code" "$seconds" "${result:-null}" >>"$directory/results.jsonl"
  # The name stands at the beginning of the result; of rows behind them, so then in the log.
  name=$(printf '%s\n' "$result" |
    sed -n 's/^{"ok":[a-z]*,"command":"[^"]*","target":"\([^"]*\)".*/\1/p')
  [ -n "$name" ] ||
    name=$(sed -n 's/^\[[A-Z]*\] \(.*\): Target [0-9]*, at .*/\1/p' "$log" 2>/dev/null | head -n 1)
  told=$(meaning "$code")
  if [ "$code" = 0 ]; then
    ok=$((ok + 1))
  else
    failed=$((failed + 1))
    reason=$(sed -n 's/^\[ERROR\] //p' "$log" 2>/dev/null | head -n 1)
    [ -z "$name" ] || reason=${reason#"$name: "}
    [ -z "$reason" ] || told="$told: $reason"
  fi
  printf '%5s  %-32s  %4s  %4ss  %s\n' "$index" "${name:--}" "${code#null}" "$seconds" "$told"
  index=$((index + 1))
done
rm -f "$directory"/*.exit "$directory"/*.json "$directory"/*.running
printf '\n%s of %s ok, %s not; results in %s/results.jsonl\n' "$ok" "$count" "$failed" "$directory"
[ "$failed" -eq 0 ]

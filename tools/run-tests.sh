#!/bin/sh
# Runs `swift test ...` and says at the end which tests were skipped and why, so that no run looks more complete than it was.
# usage: run-tests.sh SWIFT test ARGUMENT...
set -eu
events=$(mktemp)
trap 'rm -f "$events"' EXIT
status=0
"$@" --event-stream-output-path "$events" --event-stream-version 0 || status=$?
skipped=$(sed -n 's/.*"kind":"testSkipped".*"text":"\(.* skipped: .*\)"}\].*/\1/p' "$events" | sed 's/\\"//g; s/ skipped: /: /' | sort -u)
if [ -n "$skipped" ]; then
  echo "skipped, $(echo "$skipped" | wc -l | tr -d ' ') in all:"
  echo "$skipped" | sed 's/^/  /'
else
  echo "skipped: none"
fi
exit "$status"

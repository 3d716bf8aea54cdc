#!/bin/sh
# Runs `swift test ...` and says at the end which tests were skipped and why, so that no run looks more complete than it was.
# usage: run-tests.sh SWIFT test ARGUMENT...
set -eu
events=$(mktemp)
trap 'rm -f "$events"' EXIT
status=0
"$@" --event-stream-output-path "$events" --event-stream-version 0 || status=$?
# A line an event; of a skipped test its words, then its name with the place in the file.
skipped=$(sed -n 's/.*"kind":"testSkipped".* skipped: \\"\(.*\)\\""}\],"testID":"\([^"]*\)".*/\2: \1/p' "$events" |
  sed 's|\\/|/|g; s|/[^/]*\.swift:[0-9:]*: |: |' | sort)
if [ -n "$skipped" ]; then
  echo "skipped, $(echo "$skipped" | wc -l | tr -d ' ') in all:"
  echo "$skipped" | sed 's/^/  /'
else
  echo "skipped: none"
fi
exit "$status"

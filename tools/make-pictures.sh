#!/bin/sh
# Draws the pictures of the README from the real program: the bundled samples, played without a terminal.
# usage: make-pictures.sh MOETOP
set -eu
cd "$(dirname "$0")/.."
"$1" ui samples/olmoe-tiny --script docs/pictures/live.script --size 120x40 --no-record
"$1" ui samples/dit-moe-tiny --script docs/pictures/image.script --size 120x40 --no-record --cfg 3 --seed 11

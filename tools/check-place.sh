#!/bin/sh
# Was .build made in another folder? A checkout that was moved or copied keeps paths of the old place in what the compiler cached, and the
# build stops with "missing required module". Then it is cleaned; downloaded packages stay.
# usage: check-place.sh SWIFT
set -eu
cd "$(dirname "$0")/.."
here=$(pwd -P)
for plan in .build/debug.yaml .build/release.yaml .build/*/debug.yaml .build/*/release.yaml; do
  [ -f "$plan" ] || continue
  if ! grep -q -F "$here/Sources/" "$plan"; then
    echo "note: .build was made in another folder and is made anew (as make clean does)" >&2
    "$1" package clean
    exit
  fi
done

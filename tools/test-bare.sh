#!/usr/bin/env bash
# The README's two commands in a place that has nothing: a Debian system made by debootstrap, with a Swift toolchain, the packages that
# swift.org asks for beside one, and a clone of this checkout's HEAD. What an earlier run installed or built can help nobody there.
# Needs root, debootstrap and 8 GB. The place stays for a look; `rm -rf --one-file-system FOLDER` after it.
# usage: test-bare.sh FOLDER [SUITE]
#   MOETOP_BARE_CARRY    files and folders that a system behind mirrors needs, seen at the same path (git configuration, mirrors, certificates)
#   MOETOP_BARE_MIRROR   where debootstrap gets Debian
#   MOETOP_BARE_STEPS    "run test" (the default), or one of them, or "build"
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
place=$1
suite=${2:-bookworm}
root=$place/root
steps=${MOETOP_BARE_STEPS:-run test}
[ "$(id -u)" = 0 ] || { echo "error: a place of its own needs root" >&2; exit 77; }
command -v debootstrap >/dev/null || { echo "error: debootstrap is not installed" >&2; exit 69; }

# A mount namespace of its own: nothing stays mounted when this ends, however it ends.
if [ -z "${MOETOP_BARE_INSIDE:-}" ]; then
  exec env MOETOP_BARE_INSIDE=1 unshare --mount --pid --fork "$0" "$@"
fi
mount --make-rprivate /

if [ ! -x "$root/bin/sh" ]; then
  mkdir -p "$root"
  debootstrap --variant=minbase "$suite" "$root" ${MOETOP_BARE_MIRROR:+"$MOETOP_BARE_MIRROR"} >"$place/debootstrap.log"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
toolchain=$(dirname "$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")")
for path in "$toolchain" ${MOETOP_BARE_CARRY:-}; do
  if [ -d "$path" ]; then
    mkdir -p "$root$path"
  else
    mkdir -p "$root$(dirname "$path")"
    touch "$root$path"
  fi
  mount --bind "$path" "$root$path"
done
rm -rf "$root/root/moetop"
git clone -q "$checkout" "$root/root/moetop"

inside() { chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM=xterm-256color PATH="$toolchain/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"; }
inside sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -q && apt-get install -y -q --no-install-recommends make git \
  ca-certificates binutils libc6-dev libcurl4-openssl-dev libedit2 libgcc-12-dev libncurses6 libpython3-dev libstdc++-12-dev libxml2-dev \
  libz3-dev tzdata zlib1g-dev' >"$place/apt.log"

for step in $steps; do
  began=$SECONDS
  case $step in
  run)
    # In a terminal, as it is meant: left by its key once tokens stream.
    inside make -C /root/moetop deps
    inside tmux new-session -d -x 120 -y 40 "cd /root/moetop && make run; echo \$? >/root/left"
    until inside tmux capture-pane -p 2>/dev/null | grep -q 'tok/s'; do
      if [ -e "$root/root/left" ]; then break; fi
      sleep 5
    done
    inside tmux capture-pane -p >"$place/screen.txt" || true
    inside tmux send-keys q || true
    for _ in $(seq 30); do if [ -e "$root/root/left" ]; then break; fi; sleep 1; done
    status=$(cat "$root/root/left" 2>/dev/null || echo "no answer")
    rm -f "$root/root/left"
    [ "$status" = 0 ] || { echo "error: make run ended with $status" >&2; exit 1; }
    ;;
  *) inside make -C /root/moetop "$step" ;;
  esac
  echo "== make $step: $((SECONDS - began)) s"
done

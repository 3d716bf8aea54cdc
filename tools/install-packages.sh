#!/bin/sh
# Installs the system libraries that moetop builds on, where they are missing. Says what it does; does nothing when all is there.
set -eu

case "$(uname -s)" in
Darwin)
  command -v brew >/dev/null || { echo "error: Homebrew is needed to install ncurses, pcre2 and libpng" >&2; exit 1; }
  for name in ncurses pcre2 libpng; do brew list "$name" >/dev/null 2>&1 || brew install "$name"; done
  ;;
Linux)
  command -v dpkg-query >/dev/null || {
    echo "note: not a Debian system; ncursesw, pcre2-8, libpng, libcrypto and sqlite3 with headers, sqlite3 and tmux are expected" >&2
    exit 0
  }
  missing=
  for name in libncurses-dev libpcre2-dev libpng-dev libsqlite3-dev libssl-dev pkg-config sqlite3 tmux; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $name"
  done
  [ -n "$missing" ] || exit 0
  echo "installing:$missing" >&2
  root=
  [ "$(id -u)" = 0 ] || root=sudo
  # shellcheck disable=SC2086
  $root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -q && apt-get install -y -q --no-install-recommends $missing" >&2
  ;;
esac

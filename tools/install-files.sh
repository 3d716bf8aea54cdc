#!/bin/sh
# Puts the program, its manual page, completions for three shells, the samples and docs/ below a folder, or takes them away again.
# usage: install-files.sh PROGRAM FOLDER
#        install-files.sh --remove FOLDER
set -eu
cd "$(dirname "$0")/.."
folder=$2
share=$folder/share
manual=$share/man/man1/moetop.1
bash=$share/bash-completion/completions/moetop
zsh=$share/zsh/site-functions/_moetop
fish=$share/fish/vendor_completions.d/moetop.fish

if [ "$1" = --remove ]; then
  rm -f "$folder/bin/moetop" "$manual" "$bash" "$zsh" "$fish"
  rm -rf "$share/moetop" "$share/doc/moetop"
  exit
fi

install -d "$folder/bin" "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/site-functions" \
  "$share/fish/vendor_completions.d" "$share/moetop" "$share/doc/moetop"
install -m 755 "$1" "$folder/bin/moetop"
"$1" docs man >"$manual"
"$1" --generate-completion-script bash >"$bash"
"$1" --generate-completion-script zsh >"$zsh"
"$1" --generate-completion-script fish >"$fish"
rm -rf "$share/moetop/samples"
cp -R samples "$share/moetop/samples"
install -m 644 README.md LICENSE docs/*.md "$share/doc/moetop"
chmod -R u+w,go+rX "$share/moetop/samples"
echo "installed below $folder: bin/moetop, its manual page, completions, docs, and the samples in share/moetop/samples"

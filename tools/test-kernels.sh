#!/bin/sh
# The forms of the kernels against the scalar one, as a C program: for this machine, also under the
# address and undefined-behaviour sanitizers, and for 64-bit ARM under an emulator. The form of AMX by
# its twin in plain C too, wherever there is AVX-512.
# Installs the cross compiler's libraries and the emulator where they are missing (Debian and Ubuntu).
set -eu
cd "$(dirname "$0")/.."
kernels=Sources/CKernels
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# As this machine has them, then with tiles in plain C.
for tiles in "" -DMT_PLAIN_TILES; do
  # shellcheck disable=SC2086
  clang -std=c11 -O2 $tiles -I $kernels -I $kernels/include $kernels/*.c Tests/KernelProgram/forms.c -lm -o "$folder/native"
  "$folder/native" ${tiles:+amx}
done
clang -std=c11 -O1 -DMT_PLAIN_TILES -fuse-ld=lld -fsanitize=address,undefined -fno-sanitize-recover=undefined -I $kernels -I $kernels/include $kernels/*.c \
  Tests/KernelProgram/forms.c -lm -o "$folder/watched"
"$folder/watched"

missing=
for package in libc6-dev-arm64-cross libgcc-12-dev-arm64-cross qemu-user-static; do
  dpkg -s $package >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
clang --target=aarch64-linux-gnu -fuse-ld=lld -static -std=c11 -O2 -I $kernels -I $kernels/include $kernels/*.c Tests/KernelProgram/forms.c -lm \
  -o "$folder/arm64"
qemu-aarch64-static -cpu max "$folder/arm64"

"""How many frames a second the full-screen program draws while it works, and how long the longest pause between two was. The terminal is this
script: it says that it draws frames whole, and counts the marks that then stand around every frame.

usage: frame_rate.py --moetop BIN --model DIR [--size 120x40] [--seconds 10] [--keys KEYS]

The keys are pressed first ("." thrice: as fast as it can). Prints JSON.
"""
import argparse
import fcntl
import json
import os
import pty
import select
import signal
import struct
import tempfile
import termios
import time

FRAME = b"\x1b[?2026h"
# Background colour, frames drawn whole, kind of terminal.
ANSWER = b"\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?2026;2$y\x1b[?64;22c"


def watch(moetop, model, size, seconds, keys):
    columns, rows = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
            os.execv(moetop, [moetop, "ui", model, "--trace", f"{folder}/trace.db", "--data-dir", folder])
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        try:
            drain(terminal, 1, answer=True)
            for key in keys:
                os.write(terminal, key.encode())
            drain(terminal, 2)
            return drain(terminal, seconds)
        finally:
            os.kill(child, signal.SIGTERM)
            drain(terminal, 1)
            os.waitpid(child, 0)


def drain(terminal, seconds, answer=False):
    """Reads for so long; when every frame began, and the bytes of all."""
    frames, count, end, tail = [], 0, time.perf_counter() + seconds, b""
    while (left := end - time.perf_counter()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if answer and b"\x1b[c" in part:
            os.write(terminal, ANSWER)
        count += len(part)
        frames += [time.perf_counter()] * ((tail + part).count(FRAME))
        tail = part[-len(FRAME) + 1:]
    return frames, count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--keys", default="...")
    args = parser.parse_args()
    frames, count = watch(args.moetop, args.model, args.size, args.seconds, args.keys)
    gaps = [after - before for before, after in zip(frames, frames[1:])]
    print(json.dumps({"size": args.size, "seconds": args.seconds, "frames": len(frames), "frames_per_s": round(len(frames) / args.seconds, 1),
                      "longest_pause_s": round(max(gaps, default=args.seconds), 3), "kilobytes_per_s": round(count / args.seconds / 1e3, 1)}, indent=1))


if __name__ == "__main__":
    main()

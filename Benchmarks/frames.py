"""What the full-screen program costs: processor time of a frame while everything changes, of a rest, and how soon the first frame comes.

usage: frames.py --moetop BIN --open WHAT [--size 200x60] [--seconds 10] [--idle 20] [--press KEYS] [--keys KEYS [--rate 30]]

WHAT is a model or a run (FILE.db#1). The terminal is this script: it says that it draws frames whole, and notes the processor time of the
thread that draws whenever a frame begins. --press is typed first, so that something goes on: `.` four times for a model, `g space` for a run
(`space` and names of keys in <>). --keys are typed round and round at --rate a second while frames are counted. Then `space` is typed, and
after a second the processor time of all threads over --idle seconds is the cost of a rest. A run that is played is stopped by it, and a live
session paused. Prints JSON; times are milliseconds.
"""
import argparse
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import tempfile
import termios
import time

FRAME = b"\x1b[?2026h"
END = b"\x1b[?2026l"
# Background colour, frames drawn whole, kind of terminal.
ANSWER = b"\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[?2026;2$y\x1b[?64;22c"
NAMED = {"space": b" ", "left": b"\x1b[D", "right": b"\x1b[C", "up": b"\x1b[A", "down": b"\x1b[B", "enter": b"\r", "tab": b"\t",
         "esc": b"\x1b", "shift-left": b"\x1b[1;2D", "shift-right": b"\x1b[1;2C"}


def keys(text):
    return [NAMED[name] if name else char.encode() for name, char in re.findall(r"<([\w-]+)>|(.)", text)]


def running(task):
    """Seconds that a thread was on a processor."""
    try:
        with open(f"/proc/{task}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except OSError:
        return 0.0


class Session:
    def __init__(self, args):
        self.folder = tempfile.TemporaryDirectory()
        columns, rows = map(int, args.size.split("x"))
        self.began = time.perf_counter()
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            # The program reads its size before it draws.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
            os.execv(args.moetop, [args.moetop, "ui", args.open, "--no-record", "--data-dir", self.folder.name])
        self.tail, self.bytes = b"", 0
        self.answered = False

    def drain(self, seconds, until=None):
        """Reads for so long, or until some bytes come; (time, processor seconds of the main thread) at the begin of every frame."""
        frames, end = [], time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if not select.select([self.terminal], [], [], left)[0]:
                break
            try:
                part = os.read(self.terminal, 65536)
            except OSError:
                break
            now = (time.perf_counter(), running(self.child))
            if not self.answered and b"\x1b[c" in part:
                os.write(self.terminal, ANSWER)
                self.answered = True
            self.bytes += len(part)
            seen = self.tail + part
            frames += [now] * (seen.count(FRAME) - self.tail.count(FRAME))
            self.tail = seen[-256:]
            if until and until in seen:
                return frames
        return frames

    def type(self, parts, pause=0.05):
        for part in parts:
            os.write(self.terminal, part)
            self.drain(pause)

    def all_threads(self):
        tasks = os.listdir(f"/proc/{self.child}/task")
        return sum(running(f"{self.child}/task/{task}") for task in tasks)

    def peak(self):
        with open(f"/proc/{self.child}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) // 1024

    def close(self):
        os.kill(self.child, signal.SIGTERM)
        self.drain(1)
        os.waitpid(self.child, 0)
        self.folder.cleanup()


def measure(args):
    session = Session(args)
    try:
        session.drain(30, until=END)
        first = time.perf_counter() - session.began
        session.drain(60, until=args.wait.encode())
        filled = time.perf_counter() - session.began
        session.drain(args.settle)
        session.type(keys(args.press))
        session.drain(1)
        frames, typed = [], keys(args.keys)
        session.bytes, before = 0, session.all_threads()
        began, end, place = time.perf_counter(), time.perf_counter() + args.seconds, 0
        while time.perf_counter() < end:
            if typed:
                os.write(session.terminal, typed[place % len(typed)])
                place += 1
                due = began + place / args.rate
                frames += session.drain(max(0.001, due - time.perf_counter()))
            else:
                frames += session.drain(end - time.perf_counter())
        took = time.perf_counter() - began
        costs = sorted(1e3 * (after[1] - here[1]) for here, after in zip(frames, frames[1:]))
        gaps = [1e3 * (after[0] - here[0]) for here, after in zip(frames, frames[1:])]
        busy = session.all_threads() - before
        result = {"open": os.path.basename(args.open), "size": args.size, "first_frame": round(1e3 * first, 1),
                  "first_words": round(1e3 * filled, 1), "frames": len(frames), "frames_a_second": round(len(frames) / took, 1),
                  "kilobytes_a_frame": round(session.bytes / 1e3 / max(1, len(frames)), 1), "cores": round(busy / took, 2)}
        if len(costs) > 1:
            result["frame_median"] = round(statistics.median(costs), 2)
            result["frame_p95"] = round(costs[int(len(costs) * 0.95)], 2)
            result["longest_pause"] = round(max(gaps), 1)
        if args.idle:
            session.type(keys("<space>"))
            session.drain(8)
            before, began = session.all_threads(), time.perf_counter()
            quiet = session.drain(args.idle)
            rest = time.perf_counter() - began
            time.sleep(max(0, args.idle - rest))
            result["idle_share"] = round((session.all_threads() - before) / (time.perf_counter() - began), 5)
            result["idle_frames"] = len(quiet)
        result["peak_mb"] = session.peak()
        return result
    finally:
        session.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moetop", required=True)
    parser.add_argument("--open", required=True)
    parser.add_argument("--size", default="200x60")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--press", default="")
    parser.add_argument("--keys", default="")
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--settle", type=float, default=1)
    parser.add_argument("--wait", default="uniform", help="words of the first frame that shows routing")
    print(json.dumps(measure(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()

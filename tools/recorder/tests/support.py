"""Helpers of the tests: the program as a function, and what a trace holds."""
import json
import sqlite3
import subprocess


class Moetop:
    """Runs the program; what fails says what it printed."""

    def __init__(self, program):
        self.program = program

    def __call__(self, *words, fails=False):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True)
        assert fails or done.returncode == 0, f"moetop {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def check(self, trace):
        """Every byte of a trace is as the format has it."""
        return self("runs", "check", trace).stdout

    def sql(self, trace, query):
        return [json.loads(line) for line in self("sql", trace, query, "--format", "jsonl").stdout.splitlines()]

    def compare(self, a, b, *words):
        return json.loads(self("compare", a, b, "--json", *words).stdout)["pairs"][0]


def rows(trace, query):
    """Rows of a query over the tables."""
    db = sqlite3.connect(trace)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def checks(trace):
    """name: (outcome, detail)."""
    return {name: (outcome, detail) for name, outcome, detail in rows(trace, "SELECT name, outcome, detail FROM capture_check")}

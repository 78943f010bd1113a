#!/usr/bin/env python3
"""The tests that failed when meson test last ran, and what they said.

    failures.py BUILD          their names, in one line
    failures.py BUILD LINES    and their output, in about so many lines for all of them
"""

import json
import pathlib
import sys

ends_well = {"OK", "SKIP", "EXPECTEDFAIL"}
log = pathlib.Path(sys.argv[1]) / "meson-logs" / "testlog.json"
runs = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
failed = [run for run in runs if run["result"] not in ends_well]


def name(run):
    return run["name"].split(" / ")[-1]


if len(sys.argv) == 2:
    print(", ".join(map(name, failed)))
    sys.exit()

for run in failed:
    room = max(8, int(sys.argv[2]) // len(failed))
    print(f"---- {name(run)}: {run['result']}, exit status {run['returncode']}, {run['duration']:.0f} s")
    lines = [line for kind in ("stdout", "stderr") for line in (run.get(kind) or "").splitlines()]
    # What went wrong first is at the top, what ended the test is at the bottom.
    if len(lines) > room:
        lines[room // 2 : len(lines) - room // 2] = [f"     [{len(lines) - room} lines more]"]
    print("\n".join(line[:400] for line in lines))

#!/usr/bin/env python3
"""gpa-report on reports that somebody made to harm whoever looks at them.

    hostile_report_test.py GPA_REPORT
"""

import copy
import json
import os
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left beside the sources
from tool_checks import as_bytes, check, finish, refused, report, run, with_changes

demo = report("demo.json")

# ---- control characters: what a terminal would obey, and lines that the document forges ----

evil = "\x1b[31m\nforged: size=9 B\r\t\0\x7f\u0080\u009b2J\u009f\u00e9\u2028"


def spoiled(value):
    """Every text of the document with all of that behind it, but for what is looked up by its words."""
    if isinstance(value, dict):
        return {key: spoiled(v) if key not in ("pc", "rel", "base", "build_id", "rule") else v for key, v in value.items()}
    if isinstance(value, list):
        return [spoiled(v) for v in value]
    return value + evil if isinstance(value, str) else value


wrong = spoiled(demo)
unwanted = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f]")
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "evil.json").write_bytes(as_bytes(wrong))
    (folder / "clean.json").write_bytes(as_bytes(demo))
    for arguments in (["evil.json"], ["top", "evil.json"], ["evil.json", "--to=folded"], ["evil.json", "--by=tag"],
                      ["diff", "clean.json", "evil.json"], ["evil.json", "--to=sarif"], ["evil.json", "--to=dhat"]):
        status, output, errors = run(*arguments, cwd=folder)
        name = " ".join(arguments)
        check(f"{name}: no control characters", status == 0 and not unwanted.search(output.decode() + errors), output.decode() + errors)
        check(f"{name}: no forged lines", "\nforged" not in output.decode() + errors, output.decode() + errors)
        check(f"{name}: the rest stays", "?[31m?forged" in output.decode() and "\u00e9" in output.decode(), output.decode())
    lines = [len(run(name, "--limit=0", cwd=folder)[1].splitlines()) for name in ("clean.json", "evil.json")]
    check("as many lines as without them", lines[0] == lines[1], lines)
    nameless = copy.deepcopy(wrong)
    nameless["frames"][0]["calls"] = []
    nameless["frames"][0]["module"] = 0
    status, _, errors = run("-", stdin=as_bytes(nameless))
    check("notes have none", "no lines for" in errors and not unwanted.search(errors) and "\nforged" not in errors, errors)
    named = "nothing\x1b[31m\nforged.json"
    status, _, errors = run(named, cwd=folder)
    check("refusals have none", status == 1 and errors == "gpa-report: nothing?[31m?forged.json: No such file or directory\n", errors)
    status, _, errors = run(b"not_utf8\x9b31m", cwd=folder)
    check("nor bytes that are no UTF-8", errors.startswith("gpa-report: not_utf8?31m: "), errors)

# A table is as wide as it is: what is cut of a place begins with a whole character.
wide = copy.deepcopy(demo)
for frame in wide["frames"]:
    for call in frame["calls"]:
        call["file"] = "\u00e9" * 100 + ".cpp" if call["file"] else ""
for digits in range(1, 4):
    for frame in wide["frames"]:
        for call in frame["calls"]:
            call["line"] = 10**digits if call["file"] else 0
    status, output, _ = run("top", "-", stdin=as_bytes(wide))
    try:
        check("a cut place", "...\u00e9" in output.decode(), output.decode())
    except UnicodeDecodeError as e:
        check("a cut place is UTF-8", False, e)

finish()

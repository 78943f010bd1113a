#!/usr/bin/env python3
"""gpa-report tells when what it writes goes nowhere, and writes over nothing that it reads.

    output_test.py GPA_REPORT
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left beside the sources
from tool_checks import check, finish, refused, reports, run, tool

# ---- nobody takes it ----

for arguments in (["--help"], ["-h"], ["--version"], ["demo.json"], ["top", "demo.json"], ["demo.json", "--to=html"]):
    for redirection, why in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
        done = subprocess.run(["bash", "-c", f'"$0" "$@" {redirection}', tool, *arguments], cwd=reports, capture_output=True,
                              text=True, timeout=60)
        errors = [line for line in done.stderr.splitlines() if ": note: " not in line]
        check(f"{arguments} {redirection}", done.returncode == 1 and errors == [f"gpa-report: standard output: {why}"], done)
refused(1, "/dev/full: No space left on device", "demo.json", "-o", "/dev/full")
status, output, errors = run("--version")
check("--version", status == 0 and output.startswith(b"gpa-report ") and output.count(b"\n") == 1 and errors == "", output)
status, output, errors = run("demo.json", "--help", "--bogus")
check("--help, whatever else is there", status == 0 and output.startswith(b"usage: gpa-report FILE"), errors)

# ---- what is read stays ----

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name in ("demo.json", "later.json"):
        shutil.copy(reports / name, folder)
    (folder / "link.json").symlink_to("demo.json")
    (folder / "hard.json").hardlink_to(folder / "demo.json")
    before = (folder / "demo.json").read_bytes()
    path = str(folder / "demo.json")
    for output in (path, f"{folder}/./demo.json", str(folder / "link.json"), str(folder / "hard.json")):
        refused(2, f"-o {output} is {path} itself, and would overwrite it", path, "-o", output)
        refused(2, f"-o {output} is {path} itself, and would overwrite it", "diff", path, folder / "later.json", "-o", output)
        refused(2, f"-o {output} is {path} itself, and would overwrite it", "diff", folder / "later.json", path, "-o", output)
        refused(2, f"-o {output} is {path} itself", folder / "later.json", f"--binary={path}", "-o", output)
    with open(path, "rb") as file:
        done = subprocess.run([tool, "-", "-o", path], stdin=file, capture_output=True, text=True, timeout=60)
        check("standard input, too", done.returncode == 2 and f"-o {path} is - itself" in done.stderr, done)
    check("and they are what they were", (folder / "demo.json").read_bytes() == before)
    check("another file is written over", run(path, "-o", str(folder / "later.json"))[0] == 0
          and (folder / "later.json").read_bytes().startswith(b"resource "))
    check("as is a new one", run(path, "-o", str(folder / "new"))[0] == 0 and (folder / "new").exists())
    check("a device is no file", run(path, "-o", "/dev/null")[0] == 0)

finish()

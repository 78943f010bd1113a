#!/usr/bin/env python3
"""A report of a stripped program is given its names elsewhere, and only from the files of that very build.

    report_symbols_test.py GPA_REPORT PROGRAM

PROGRAM has debug information; its main() plays the frame without a name.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

tool, program = (pathlib.Path(a).resolve() for a in sys.argv[1:3])
failures = []


def check(name, is_true, detail=""):
    if not is_true:
        failures.append(name)
        print(f"FAILED: {name}: {detail}")


def text_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


base = 0x5555_0000_0000
main = int(re.search(r"^([0-9a-f]+) T main$", text_of("nm", program), re.M)[1], 16)
build_id = re.search(r"Build ID: ([0-9a-f]+)", text_of("readelf", "-n", program))[1]
report = {
    "gpa_report": 1,
    "tool": {"name": "gpa", "version": "0.1.0"},
    "process": {},
    "resource": {"name": "default"},
    "estimated": False,
    "profiled": False,
    "totals": {"live_bytes": 16, "live_blocks": 1},
    "mistakes": [],
    "modules": [{"path": "/nowhere/bin/" + program.name, "build_id": build_id, "base": hex(base)}],
    "frames": [{"pc": hex(base + main + 4), "module": 0, "rel": hex(main + 4), "calls": []}],
    "traces": [[0]],
    "sites": [{"trace": 0, "size_class": 16, "live_bytes": 16, "live_blocks": 1}],
}


def place(document, *arguments):
    done = subprocess.run([tool, "-", "--by=line", *arguments], input=json.dumps(document), capture_output=True, text=True)
    check("exit status", done.returncode == 0, done.stderr)
    return re.search(r"largest first\n(.*): size=16 B", done.stdout)[1], done.stderr


def named(name, *arguments):
    where, notes = place(report, *arguments)
    check(name, re.search(r"process\.cpp:\d+$", where) and notes == "", where + notes)


def unnamed(name, note, document, *arguments):
    where, notes = place(document, *arguments)
    check(name, where == f"{program.name}+{hex(main + 4)}" and note in notes, where + notes)


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    stripped = folder / "stripped"
    subprocess.run(["objcopy", "--strip-all", program, stripped], check=True)
    debug = folder / ".build-id" / build_id[:2] / (build_id[2:] + ".debug")
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    by_name = folder / "by_name"
    by_name.mkdir()
    shutil.copy(program, by_name)

    unnamed("without files", f"no file with build id {build_id}", report)
    named("the program itself", f"--binary={program}")
    where, notes = place(report, f"--binary={folder / 'absent'},{program}")
    check("among others", re.search(r"process\.cpp:\d+$", where) and notes.count("\n") == 1 and "absent: No such" in notes, where + notes)
    unnamed("of no use", "has no debug information", report, f"--binary={stripped}")
    named("its debug file, by build id", f"--debug-dir={folder}")
    named("in a folder, by name", f"--debug-dir={by_name}")
    there = json.loads(json.dumps(report))
    there["modules"][0]["path"] = str(program)
    where, _ = place(there)
    check("where the report says", re.search(r"process\.cpp:\d+$", where), where)

    other = json.loads(json.dumps(there))
    other["modules"][0]["build_id"] = "00" + build_id[2:]
    unnamed("another build is not believed", "no file with build id 00", other, f"--binary={program}")
    no_id = json.loads(json.dumps(there))
    no_id["modules"][0]["build_id"] = ""
    unnamed("without a build id the path is not believed", "it has no build id; name its file with --binary", no_id)
    where, notes = place(no_id, f"--binary={program}")
    check("without a build id, but given by name", re.search(r"process\.cpp:\d+$", where), where + notes)

print("all as expected" if not failures else f"{len(failures)} failed")
sys.exit(1 if failures else 0)

#!/usr/bin/env python3
"""gpa-report watch reads GPA_OPTIONS as the library does. real_program_test.py asks the library itself.

    watch_options_test.py GPA_REPORT
"""

import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left beside the sources
from tool_checks import check, finish, refused, reports, run

# Answers SIGUSR2 as the library does, at the place it is told by its arguments.
answering = """
import os, shutil, signal, sys, time
path = sys.argv[2].replace("PID", str(os.getpid()))
def answer(number, frame):
    shutil.copy(sys.argv[1], path + ".new")
    os.rename(path + ".new", path)
signal.signal(signal.SIGUSR2, answer)
print("ready", flush=True)
for _ in range(600): time.sleep(0.1)
"""
look = ("--times=1", "--interval=0.05")


class program:
    """One that writes to `name` in `folder`, and was started with those options."""

    def __init__(self, options, folder, name, called=sys.executable):
        self.child = subprocess.Popen(
            [called, "-c", answering, reports / "later.json", f"{folder}/{name}"], executable=sys.executable, cwd=folder,
            stdout=subprocess.PIPE, env={"GPA_OPTIONS": options})
        self.child.stdout.readline()

    def __enter__(self):
        return str(self.child.pid)

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


with tempfile.TemporaryDirectory() as folder:
    for options, name in (
        ("report_path=FOLDER/a.json,profile=1", "a.json"),
        ("profile=1,report_path=FOLDER/b.json stats=1", "b.json"),
        ("profile=1\treport_path=FOLDER/c.json\n", "c.json"),
        ("report_path='FOLDER/d: e, f.json'", "d: e, f.json"),
        ('report_path="FOLDER/it\'s.json":profile=1', "it's.json"),
        ("report_path=FOLDER/\"e'.json", "\"e'.json"),  # quotes stand at the beginning of a value, or are part of it
        ("tag='report_path=FOLDER/no.json' report_path=FOLDER/f.json", "f.json"),
        ("my_report_path=FOLDER/no.json:report_path=FOLDER/g.json:report_path_too=FOLDER/no.json", "g.json"),
        ("report_path=FOLDER/no.json:report_path=FOLDER/h.json", "h.json"),
        ("report_path=FOLDER/i.json:report_path:=:", "i.json"),
        ("report_path=FOLDER/j.json:report_path='FOLDER/no.json", "j.json"),
        ("report_path=FOLDER/%p.json", "PID.json"),
        ("report_path=FOLDER/%e-%p.json", "the program-PID.json"),
        ("report_path=FOLDER/%%p%%%p%.json", "%p%PID%.json"),
        ("report_path=k%%.json", "k%.json"),
    ):
        with program(options.replace("FOLDER", folder), folder, name, called="/a/folder/the program") as pid:
            status, output, errors = run("watch", pid, *look)
            check(options, status == 0 and b"src/cache.cpp:21" in output, errors)

    with program(f"report_path='{folder}/%n.json'", folder, "a_%p_b.json") as pid:
        status, output, errors = run("watch", pid, *look, "--resource=a/%p/b")
        check("a resource's name is no pattern", status == 0 and b"src/cache.cpp:21" in output, errors)
        refused(1, "/%n.json is one file for each resource: choose one with --resource=NAME", "watch", pid, *look)
    with program("report_path=/elsewhere", folder, "100%.json") as pid:
        status, output, errors = run("watch", pid, *look, f"--file={folder}/100%%.json")
        check("--file", status == 0 and b"src/cache.cpp:21" in output, errors)
    with program("report_path='/not/closed", folder, "x.json") as pid:
        refused(1, "has no report_path in its GPA_OPTIONS", "watch", pid, *look)
    with program(f"report_path='{folder}/\x1b[31m%n'", folder, "x.json") as pid:
        refused(1, f"{folder}/?[31m%n is one file for each resource", "watch", pid, *look)

for interval in ("nan", "inf", "infinity", "-inf", "1e999"):
    refused(2, f'--interval takes a number, not "{interval}"', "watch", "1", f"--interval={interval}")

finish()

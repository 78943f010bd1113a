#!/usr/bin/env python3
"""Real programs' profiles are true.

    real_program_test.py GPA_REPORT JSON_TREE WORD_FREQUENCIES [MEGABYTES]

A JSON parser is asked while its tree stands, over the signal, with gpa-report watch. The program says from its containers'
capacities how many bytes are in texts and how many in lists of children; the two largest sites of the report have to be
exactly these. Of examples/word_frequencies.cpp the sizes of the files it reads tell what its largest line allocates.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

tool, program, words = (pathlib.Path(a).resolve() for a in sys.argv[1:4])
megabytes = sys.argv[4] if len(sys.argv) > 4 else "2"
failures = []


def check(name, is_true, detail=""):
    if not is_true:
        failures.append(name)
        print(f"FAILED: {name}: {detail}")


def run(*arguments):
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=250)
    check(" ".join(map(str, arguments)), done.returncode == 0, done.stderr)
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    # In every way the library takes it, as watch has to read it, too.
    options = f"profile=1, report_signal=1\treport_path='{folder}/%e: %%p %p-%n.json'"
    child = subprocess.Popen([program, megabytes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "GPA_OPTIONS": options})
    said = [child.stdout.readline() for _ in range(3)]
    if child.poll() == 77 or not said[0]:
        print("not run here: real_program (no licence texts)")
        sys.exit(77)
    print("".join(said), end="")
    held = {m[1]: (int(m[2]), int(m[3])) for m in map(re.compile(r"(\w+) (\d+) bytes in (\d+) blocks").match, said) if m}

    table = run("watch", str(child.pid), "--times=1", "--resource=tree", "--by=function")
    print(table)
    report = pathlib.Path(folder) / f"{pathlib.Path(program).name}: %p {child.pid}-tree.json"
    document = json.loads(report.read_text())
    live = {}
    for site in document["sites"]:
        calls = [call for frame in document["traces"][site["trace"]] for call in document["frames"][frame]["calls"]]
        kind = "children" if any("emplace_back" in call["function"] for call in calls) else "texts"
        bytes, blocks = live.get(kind, (0, 0))
        live[kind] = bytes + site["live_bytes"], blocks + site["live_blocks"]
    check("the profile is what the containers say", live == held, f"{live} != {held}")
    check("and nothing else is live", document["totals"]["live_bytes"] == sum(bytes for bytes, _ in held.values()))

    # What the library wrote goes through every format, and the largest site stays the largest.
    largest = max(held.values())[0]
    for format in ("text", "html", "dhat", "folded", "speedscope", "sarif"):
        check(format, run(report, f"--to={format}") != "")
    dhat = json.loads(run(report, "--to=dhat"))
    check("DHAT's sum", sum(p["eb"] for p in dhat["pps"]) == document["totals"]["live_bytes"])
    rows = run("top", report, "--by=function", "--limit=1").splitlines()
    check("the largest site is the list of children", "members" in rows[-1] or "emplace_back" in rows[-1], rows[-1])

    child.stdin.close()
    check("the program ends well", child.wait(timeout=120) == 0)
    after = json.loads(report.read_text())
    check("at the end nothing is live", after["process"]["reason"] == "deinit" and after["totals"]["live_bytes"] == 0)
    diff = run("diff", report, report)
    check("no difference to itself", diff.endswith("no difference\n"), diff)

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "words.json"
    subprocess.run([words], check=True, stdout=subprocess.DEVNULL, timeout=120,
                   env={**os.environ, "GPA_OPTIONS": f"profile=1:report_path={path}"})
    document = json.loads(path.read_text())
    total = {}
    for site in document["sites"]:
        calls = [call for frame in document["traces"][site["trace"]] for call in document["frames"][frame]["calls"]]
        place = next(((c["file"], c["line"]) for c in calls if not c["library"] and c["line"]), None)
        bytes, blocks = total.get(place, (0, 0))
        total[place] = bytes + site["total_bytes"], blocks + site["total_blocks"]
    # It appends one character to a string that has a file's size, and that doubles the capacity; then there is the zero.
    sizes = [f.stat().st_size for f in pathlib.Path("/usr/share/common-licenses").iterdir() if not f.is_symlink()]
    largest = max(total, key=total.get)
    check("the largest line is that of the files' texts", total[largest] == (2 * sum(sizes) + len(sizes), len(sizes)), total)
    top = run("top", path, "--what=total", "--limit=1").splitlines()[-1]
    check("gpa-report has it first", top.endswith(f"{pathlib.Path(largest[0]).name}:{largest[1]}") and f" {len(sizes)} " in top, top)
    print(f"{top}: 2 * {sum(sizes)} + {len(sizes)} = {total[largest][0]} bytes")

print("all as expected" if not failures else f"{len(failures)} failed")
sys.exit(1 if failures else 0)

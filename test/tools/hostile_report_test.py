#!/usr/bin/env python3
"""gpa-report on reports that somebody made to harm whoever looks at them.

    hostile_report_test.py GPA_REPORT
"""

import copy
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left beside the sources
from tool_checks import as_bytes, check, finish, here, refused, report, run, tool, with_changes

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

# ---- damaged documents ----

text = as_bytes(demo)
at = text.index(b'"modules"')
refused(1, f"-: not a report of gpa: byte {len(text) + 1} is a NUL", "-", stdin=text + b"\0 garbage {{{")
refused(1, f"-: not a report of gpa: byte {at + 1} is a NUL", "-", stdin=text[:at] + b"\0" + text[at:])
refused(1, "-: not a report of gpa: byte 1 is a NUL", "-", stdin=b"\0" * 100)

# Every key that the schema requires of a document.
schema = json.loads((here.parent.parent / "lib" / "report_schema.json").read_text())
check("the schema's keys", len(schema["required"]) == 12, schema["required"])
for key in schema["required"]:
    words = 'it has no key "gpa_report"' if key == "gpa_report" else f"-: damaged: {key} is missing"
    refused(1, words, "-", stdin=as_bytes({k: v for k, v in demo.items() if k != key}))
    refused(1, "is missing" if key != "gpa_report" else "", "-", stdin=with_changes(demo, **{key: None}))

for version in (0.6, 1.0, 1.4, -1, "1", True):
    refused(1, "damaged: gpa_report is no whole number from 0 up", "-", stdin=with_changes(demo, gpa_report=version))
refused(1, "damaged: gpa_report is no version", "-", stdin=with_changes(demo, gpa_report=0))


def with_site(**changes):
    return with_changes(demo, sites=[dict(demo["sites"][0], **changes), *demo["sites"][1:]])


def with_frame(**changes):
    return with_changes(demo, frames=[dict(demo["frames"][0], **changes), *demo["frames"][1:]])


def with_mistake(**changes):
    return with_changes(demo, mistakes=[dict(demo["mistakes"][0], **changes)])


for index in (0.49, 1.0, -1, "0", 1e300):
    refused(1, "damaged: sites[0].trace is no whole number from 0 up", "-", stdin=with_site(trace=index))
    refused(1, "damaged: frames[0].module is no whole number from 0 up", "-", stdin=with_frame(module=index))
    refused(1, "here is no whole number from 0 up", "-", stdin=with_mistake(traces={"here": index}))
check("null is no module", run("-", stdin=with_frame(module=None))[0] == 0)
refused(1, "line is no whole number from 0 up", "-",
        stdin=with_frame(calls=[{"function": "f", "line": 1.5}]))

# ---- numbers beyond all memory ----

most = 1 << 62
for number in (most + 1, 1 << 64, 4.7e18, 1e300):
    refused(1, "damaged: sites[0].live_bytes is too large", "-", stdin=with_site(live_bytes=number))
refused(1, "damaged: sites[0].live_bytes is no number from 0 up", "-", stdin=with_site(live_bytes=-1))
refused(1, "damaged: totals.peak_bytes is too large", "-", stdin=with_changes(demo, totals=dict(demo["totals"], peak_bytes=most + 1)))
# What a mistaken call asked for may be any number.
check("a mistake's numbers", run("-", stdin=with_mistake(bytes=(1 << 64) - 1, alignment=1 << 63))[0] == 0)

keys = [key for key in demo["sites"][0] if key.endswith(("_bytes", "_blocks"))] + ["temporary", "lifetime_sum"]
huge = dict(demo, sites=[dict(site, **dict.fromkeys(keys, most)) for site in demo["sites"]] * 5)
end_of_sums = (1 << 63) - 1
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "huge.json").write_bytes(as_bytes(huge))
    (folder / "small.json").write_bytes(as_bytes(demo))
    rows = run("huge.json", "--by=tag", "--limit=0", cwd=folder)[1].decode()
    check("sums stop", f"size={(1 << 63) >> 40} TiB, count={end_of_sums}," in rows, rows)
    both = [run("diff", *names, "--by=tag", cwd=folder)[1].decode() for names in (("small.json", "huge.json"), ("huge.json", "small.json"))]
    for shown, sign in zip(both, "+-"):
        check(f"differences keep their sign: {sign}", f"({sign}8388608 TiB)" in shown and f"({sign}92233720368547" in shown, shown)
    folded = run("huge.json", "--to=folded", cwd=folder)[1].decode().splitlines()
    check("folded sums stop", folded and {int(line.rsplit(" ", 1)[1]) for line in folded} == {end_of_sums}, folded)
    chart = json.loads(run("huge.json", "--to=speedscope", cwd=folder)[1])["profiles"][0]
    check("speedscope's end is its sum's", chart["endValue"] == end_of_sums, chart["endValue"])
    dhat = json.loads(run("huge.json", "--to=dhat", cwd=folder)[1])
    check("DHAT's sums stop", {point["tb"] for point in dhat["pps"]} == {end_of_sums}, dhat["pps"])

# ---- more than fits: a few kilobytes that come to terabytes, what has no end, what nobody answers ----


def with_stacks(calls, frames, traces, sites=1):
    return with_changes(
        demo, mistakes=[], frames=[{"pc": "0x1", "rel": "0x1", "calls": [{"function": "f" * 100}] * calls}],
        traces=[[0] * frames] * traces, sites=[{"trace": t, "live_bytes": 1, "live_blocks": 1} for t in range(traces)] * sites)


most_calls = 64 * 256
check("a stack of the most calls", run("-", "--limit=1", stdin=with_stacks(256, 64, 1))[0] == 0)
for format in ("text", "html", "folded", "dhat", "speedscope", "pprof", "sarif"):
    refused(1, f"-: damaged: traces[0] has more than {most_calls} calls", "-", f"--to={format}", stdin=with_stacks(2000, 100000, 1))
refused(1, f"-: damaged: traces[0] has more than {most_calls} calls", "top", "-", stdin=with_stacks(1, most_calls + 1, 1))
refused(1, "-: damaged: its call stacks come to more than ", "-", stdin=with_stacks(256, 64, 200))
refused(1, "-: damaged: its call stacks come to more than ", "-", "--to=speedscope", stdin=with_stacks(256, 64, 1, 8000))


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    with open(folder / "sparse.json", "wb") as file:
        file.truncate((2 << 30) + 1)
    os.mkfifo(folder / "nobody")
    refused(1, "sparse.json: larger than 2048 MiB, as no report is", folder / "sparse.json")
    refused(1, "/dev/zero: neither a file nor a pipe", "/dev/zero")
    refused(1, f"{folder}: Is a directory", folder)
    check("-", run("-", stdin=text)[0] == 0)
    check("/dev/stdin, a pipe", run("/dev/stdin", stdin=text)[0] == 0)
    (folder / "report.json").write_bytes(text)
    there = subprocess.run(["bash", "-c", '"$0" <(cat report.json) && "$0" /dev/stdin <report.json && "$0" - <report.json', tool],
                           cwd=folder, capture_output=True, timeout=60)
    check("process substitution, a file as standard input", there.returncode == 0 and there.stdout.count(b'resource "default"') == 3, there)
    if b"__asan_init" not in tool.read_bytes():  # which would not start
        (folder / "long.json").write_bytes(text + b" " * (1 << 28))
        status, output, errors = run(folder / "long.json", preexec_fn=limit_memory)
        check("memory that ends", status == 1 and errors.endswith("long.json: there is not enough memory to read it\n"), errors)

    # Whoever opened such a pipe would wait for its writer.
    pipe = str(folder / "nobody")
    status, _, errors = run("-", f"--binary={pipe}", stdin=text)
    check("a pipe given as a binary", status == 0 and f"note: --binary={pipe}: it is no regular file\n" in errors, errors)
    os.mkfifo(folder / "demo")
    status, _, errors = run("-", f"--debug-dir={folder}", stdin=text)
    check("a pipe in a folder of debug files", status == 0, errors)
    nameless = [dict(frame, calls=[], module=0) for frame in demo["frames"]]
    for path in (pipe, "/dev/zero", str(folder)):
        modules = [dict(module, path=path, build_id="db2c72a4") for module in demo["modules"]]
        status, _, errors = run("-", stdin=with_changes(demo, frames=nameless, modules=modules))
        check(f"{path} as a module", status == 0 and f"of {path}: no file with build id db2c72a4" in errors, errors)

# ---- the page shows lines of sources, and of no other file that a report names ----

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "include" / "c++" / "12").mkdir(parents=True)
    shown = ["app.cpp", "app.C", "a.b.h++", "kernel.cu", "module.cppm", "include/c++/12/vector", "link.cpp", "spaced name.inl"]
    hidden = ["secret", "shadow.txt", "app.cpp.orig", ".cpp.swp", "app.CPP~", "id_rsa.pem", "lying.cpp", "pipe.cpp", "folder.cpp",
              "include/c++/12/../../../secret", "include/c++/12/lying"]
    for name in [*shown, *hidden[:6]]:
        if name != "link.cpp":
            (folder / name).write_text("the line to show\n")
    (folder / "link.cpp").symlink_to("app.cpp")
    (folder / "lying.cpp").symlink_to("secret")
    (folder / "include/c++/12/lying").symlink_to(folder / "secret")
    (folder / "folder.cpp").mkdir()
    os.mkfifo(folder / "pipe.cpp")
    for name, is_shown in [*((n, True) for n in shown), *((n, False) for n in hidden)]:
        for path in (name, f"{folder}/{name}"):
            frames = [dict(frame, calls=[{"function": "f", "file": path, "line": 1}]) for frame in demo["frames"]]
            status, output, errors = run("-", "--to=html", cwd=folder, stdin=with_changes(demo, frames=frames))
            name_of_check = f"{path} is {'' if is_shown else 'not '}in the page"
            check(name_of_check, status == 0 and (b"the line to show" in output) == is_shown, errors)

finish()

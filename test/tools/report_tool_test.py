#!/usr/bin/env python3
"""gpa-report on small reports: its outputs against golden files, its totals against the report's, its refusals.

    report_tool_test.py GPA_REPORT [--write]

--write makes the golden files anew. Formats are decoded here by code that shares nothing with the tool's.
"""

import fcntl
import gzip
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios

here = pathlib.Path(__file__).parent
reports = here / "reports"
tool = pathlib.Path(sys.argv[1]).resolve()
write = "--write" in sys.argv
failures = []


def run(*arguments, stdin=None):
    """Exit status, output, errors; run where the reports are, so that paths are the same everywhere."""
    done = subprocess.run([tool, *arguments], cwd=reports, input=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


def check(name, is_true, detail=""):
    if not is_true:
        failures.append(name)
        print(f"FAILED: {name}: {detail}")


def output_of(*arguments):
    status, output, errors = run(*arguments)
    check(" ".join(arguments), status == 0, f"exit status {status}: {errors}")
    return output


def golden(name, *arguments):
    output = output_of(*arguments).decode()
    path = here / "golden" / name
    if write:
        path.write_text(output)
    check(name, path.exists() and path.read_text() == output, f"differs from {path}:\n{output}")


def report(name):
    return json.loads((reports / name).read_text())


def sum_of(document, key):
    return sum(site[key] for site in document["sites"])


# ---- golden texts ----

golden("demo.text", "demo.json")
golden("demo.by_tag.text", "demo.json", "--by=tag", "--what=total")
golden("demo.by_size_class.text", "demo.json", "--by=size_class", "--limit=2")
golden("demo.by_function.text", "demo.json", "--by=function", "--what=peak")
golden("demo.by_line.peak.top", "top", "demo.json", "--what=peak")
golden("demo.top", "top", "demo.json")
golden("sampled.top", "top", "live_only.json", "--by=stack")
golden("diff.text", "diff", "demo.json", "later.json")
golden("diff.by_stack.text", "diff", "demo.json", "later.json", "--by=stack")
golden("demo.folded", "demo.json", "--to=folded", "--what=total")
golden("demo.dhat", "demo.json", "--to=dhat")
golden("live_only.dhat", "live_only.json", "--to=dhat")
golden("demo.speedscope", "demo.json", "--to=speedscope", "--what=peak")
golden("demo.sarif", "demo.json", "--to=sarif")

# The line that grew comes first.
rows = output_of("diff", "demo.json", "later.json").decode().split("first\n")[1].splitlines()
check("the cache that grew comes first", rows[0].startswith("src/cache.cpp:21: size=70.3 KiB (+54.6 KiB), count=1000 (+788)"), rows[0])

# ---- DHAT: the fields its viewer insists on, and sums ----

demo = report("demo.json")
dhat = json.loads(output_of("demo.json", "--to=dhat"))
for field in ("dhatFileVersion", "mode", "verb", "bklt", "bkacc", "tu", "Mtu", "tuth", "cmd", "pid", "tg", "te", "pps", "ftbl"):
    check(f"DHAT has {field}", field in dhat)
for point in dhat["pps"]:
    check("a DHAT point is whole", {"tb", "tbk", "tl", "mb", "mbk", "gb", "gbk", "eb", "ebk", "fs"} <= point.keys(), point)
    check("DHAT's frames exist", all(0 < f < len(dhat["ftbl"]) for f in point["fs"]), point)
check("DHAT names each stack once", len({tuple(p["fs"]) for p in dhat["pps"]}) == len(dhat["pps"]))
# As the Firefox Profiler's importer wants it: address, name, file, line, column.
lines = [f"{call['function']} ({call['file']}:{call['line']}:{call['column']})" for frame in demo["frames"] for call in frame["calls"] if call["file"]]
named = [m[1] for m in map(re.compile(r"0x[0-9A-F]+: (.+ \(.+:\d+:\d+\))$").match, dhat["ftbl"]) if m]
check("DHAT's frames have places", sorted(named) == sorted(set(lines) - {lines[-1]}) and "0x55AD2C49F1B8: main (src/main.cpp:14:17)" in dhat["ftbl"], named)
check("DHAT's totals", sum(p["tb"] for p in dhat["pps"]) == sum_of(demo, "total_bytes"))
check("DHAT's end", sum(p["eb"] for p in dhat["pps"]) == sum_of(demo, "live_bytes"))
check("DHAT's peak", sum(p["gb"] for p in dhat["pps"]) == sum_of(demo, "at_peak_bytes") == demo["totals"]["peak_bytes"])
check("DHAT's moment of the peak", dhat["te"] - dhat["tg"] == demo["totals"]["peak_age"])
sampled = json.loads(output_of("live_only.json", "--to=dhat"))
check("DHAT without profiling says what is live", sampled["bklt"] is False and sampled["verb"] == "Live")

# ---- pprof, decoded from its bytes ----


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """[(field number, int or bytes)] of a protocol buffers message."""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        elif key & 7 != 0:
            raise ValueError(f"wire type {key & 7}")
        found.append((key >> 3, value))
    return found


def all_of(message, number):
    return [value for field, value in message if field == number]


def one_of(message, number):
    return next(iter(all_of(message, number)), 0)


def unpacked(data):
    at, values = 0, []
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


packed = output_of("demo.json", "--to=pprof")
check("pprof is gzip", packed[:2] == b"\x1f\x8b")
check("pprof is the same each time", packed == output_of("demo.json", "--to=pprof"))
profile = fields(gzip.decompress(packed))
strings = [s.decode() for s in all_of(profile, 6)]
check("pprof's first string is empty", strings[0] == "")
types = [strings[one_of(fields(t), 1)] for t in all_of(profile, 1)]
check("pprof's measures", types == ["inuse_objects", "inuse_space", "alloc_objects", "alloc_space", "peak_objects", "peak_space"], types)
check("pprof's default", strings[one_of(profile, 14)] == "inuse_space")
drop = re.compile(strings[one_of(profile, 7)])
check("pprof leaves out what libraries do for a call", drop.fullmatch("std::pmr::memory_resource::allocate") and drop.fullmatch("gpa::resource::do_allocate"), drop.pattern)
check("pprof leaves out nothing else", not any(drop.fullmatch(name) for name in ("main", "cache::open", "parse", "demo+0x2222", "")), drop.pattern)
samples = [fields(s) for s in all_of(profile, 2)]
keys = ["live_blocks", "live_bytes", "total_blocks", "total_bytes", "at_peak_blocks", "at_peak_bytes"]
for column, key in enumerate(keys):
    total = sum(unpacked(one_of(s, 2))[column] for s in samples)
    check(f"pprof's sum of {key}", total == sum_of(demo, key), total)
locations = {one_of(fields(l), 1): fields(l) for l in all_of(profile, 4)}
functions = {one_of(fields(f), 1): strings[one_of(fields(f), 2)] for f in all_of(profile, 5)}


def calls_of(location):
    return [(functions[one_of(fields(l), 1)], one_of(fields(l), 2)) for l in all_of(location, 4)]


stack = [call for id in unpacked(one_of(samples[2], 1)) for call in calls_of(locations[id])]
expected = [
    (call["function"], call["line"])
    for frame in demo["traces"][demo["sites"][2]["trace"]]
    for call in demo["frames"][frame]["calls"]
]
check("pprof's stack, inlined calls first", stack == expected, stack)
unnamed = locations[6]
check("pprof leaves a frame without a name to the server", calls_of(unnamed) == [] and one_of(unnamed, 2) == 1, unnamed)
mapping = fields(all_of(profile, 3)[0])
check("pprof's mapping has the build id", strings[one_of(mapping, 6)] == "db2c72a4")
check("pprof's mapping holds its frames", one_of(mapping, 2) <= one_of(unnamed, 3) < one_of(mapping, 3))
labels = [fields(l) for l in all_of(samples[0], 3)]
check("pprof's labels", [strings[one_of(l, 1)] for l in labels] == ["tag", "bytes"], labels)

# ---- folded and speedscope: sums; SARIF: what code scanning asks for ----

folded = output_of("demo.json", "--to=folded").decode().splitlines()
check("folded sums", sum(int(line.rsplit(" ", 1)[1]) for line in folded) == sum_of(demo, "live_bytes"))
speedscope = json.loads(output_of("demo.json", "--to=speedscope"))
for chart, key in zip(speedscope["profiles"], ("live_bytes", "at_peak_bytes", "total_bytes")):
    check(f"speedscope's {key}", sum(chart["weights"]) == chart["endValue"] == sum_of(demo, key))
    check("speedscope's lists", len(chart["samples"]) == len(chart["weights"]))
sarif = json.loads(output_of("demo.json", "--to=sarif"))["runs"][0]
check("SARIF has each mistake", [r["ruleId"] for r in sarif["results"]] == [m["rule"] for m in demo["mistakes"]])
for result, mistake in zip(sarif["results"], demo["mistakes"]):
    check("SARIF has a place for each", len(result["locations"]) == 1, result)
    check("SARIF's fingerprints", result["partialFingerprints"]["gpa/v1"] == mistake["fingerprint"])
    check("SARIF's rules", sarif["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"])

# ---- the page's data, without a browser: see viewers_test.py for the rest ----


def data_of(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    check("the page has its data once", found is not None)
    return json.loads(found[1])


page = data_of(output_of("demo.json", "--to=html").decode())
check("a parent stands before its children", all(parent < n for n, parent in enumerate(page["nodes"]["parent"])))
for column, key in (("live", "live_bytes"), ("blocks", "live_blocks"), ("peak", "at_peak_bytes"), ("own_peak", "peak_bytes"), ("total", "total_bytes")):
    check(f"the page's sum of {key}", sum(page["sites"][column]) == sum_of(demo, key))


def page_stack(node):
    calls = []
    while node >= 0:
        call = page["nodes"]["call"][node]
        calls.append((page["functions"][page["calls"]["function"][call]], page["calls"]["line"][call]))
        node = page["nodes"]["parent"][node]
    return calls


check("the page's stack", page_stack(page["sites"]["node"][2]) == expected, page_stack(page["sites"]["node"][2]))
both = data_of(output_of("diff", "demo.json", "later.json", "--to=html").decode())
check("both reports are in the page", sum(both["sites"]["live"]) == sum_of(report("later.json"), "live_bytes"))
check("and the older one", sum(both["sites"]["live_before"]) == sum_of(demo, "live_bytes"))
check("equal stacks are one", len(both["sites"]["node"]) == 6, both["sites"]["node"])

# Sources as they come: bytes of another encoding, a line without an end in sight, a tag that would end the script.
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "src").mkdir()
    lines = [b"// caf\xe9"] + [b"//"] * 16 + [b"x" * 5000, b"</script><b>", b"// \xc3\xa9\t\x01", b"  open();"]
    (folder / "src/cache.cpp").write_bytes(b"\n".join(lines) + b"\n")
    done = subprocess.run([tool, reports / "demo.json", "--to=html"], cwd=folder, capture_output=True, timeout=60)
    shown = data_of(done.stdout.decode())["sources"]
    shown = next(iter(shown.values()))
    check("lines around the call", sorted(map(int, shown)) == [17, 18, 19, 20, 21], sorted(shown))
    check("the call's line", shown["21"] == "  open();" and shown["19"] == "</script><b>", shown)
    check("a long line is cut", shown["18"] == "x" * 240 + "...", len(shown["18"]))
    check("UTF-8 and tabs stay", shown["20"] == "// \u00e9\t\x01", shown["20"])
    (folder / "src/cache.cpp").write_bytes(b"\n" * 20 + b"caf\xe9\n")
    done = subprocess.run([tool, reports / "demo.json", "--to=html"], cwd=folder, capture_output=True, timeout=60)
    shown = next(iter(data_of(done.stdout.decode())["sources"].values()))
    check("what is no UTF-8 is left out", shown["21"] == "????", shown)

# ---- what is refused: exit status, one line, and what it says ----


def refused(status, words, *arguments, stdin=None):
    got, output, errors = run(*arguments, stdin=stdin)
    name = f"refuses {' '.join(arguments)}"
    errors = "".join(line for line in errors.splitlines(True) if not line.startswith("gpa-report: note: "))
    check(name, got == status and output == b"", f"exit status {got}")
    check(name, errors.count("\n") == 1 and words in errors, errors)


text = (reports / "demo.json").read_bytes()
# Cut anywhere: in a word, a string, a number, an escape, between two values.
for end in [*range(1, 40), *range(900, len(text.rstrip()), 79), text.index(b"true") + 2, text.index(b"null") + 1, text.index(b"\\") + 1]:
    refused(1, f"-: truncated: it ends after {end} byte", "-", stdin=text[:end])
refused(1, "-: truncated: it is empty", "-", stdin=b" \n")
refused(1, "not a report of gpa: no JSON from byte 1 on", "-", stdin=b"\x7fELF")
refused(1, 'not a report of gpa: it has no key "gpa_report"', "-", stdin=b'{"a": 1}')
refused(1, "a report of version 2, and this gpa-report reads version 1", "-", stdin=text.replace(b'"gpa_report": 1', b'"gpa_report": 2'))
refused(1, "damaged: sites[4].trace is 33, but there are 6 traces", "-", stdin=text.replace(b'"trace": 3,', b'"trace": 33,'))
refused(1, "damaged: traces[0] is no list of indices of the 8 frames", "-", stdin=text.replace(b"[0, 1, 2, 4]", b"[0, 1, 2, 40]"))
refused(1, "damaged: frames[4].pc is no hexadecimal number", "-", stdin=text.replace(b'"pc": "0x55ad2c49f1b8"', b'"pc": "0xgh"'))
refused(1, "damaged: sites is missing", "-", stdin=b'{"gpa_report": 1}')
refused(1, "No such file", "not_there.json")
refused(1, "live_only.json: it has no peak of each site", "live_only.json", "--what=peak")
refused(2, "no file; see --help")
refused(2, "takes 2 files, and 1 are given", "diff", "demo.json")
refused(2, "no option --bogus", "demo.json", "--bogus=1")
refused(2, '--limit takes a number, not "x"', "demo.json", "--limit", "x")
refused(2, 'no format "xml"', "demo.json", "--to=xml")
refused(2, 'no measure "dead"', "demo.json", "--what=dead")
refused(2, 'no group "color"', "demo.json", "--by=color")
refused(2, "a diff is written as text or html", "diff", "demo.json", "later.json", "--to=dhat")
refused(2, '--limit takes a number, not "99999999999999999999"', "demo.json", "--limit=99999999999999999999")
refused(2, '--interval takes a number, not "-1"', "watch", "1", "--interval=-1")
refused(2, "--by has no say in folded", "demo.json", "--to=folded", "--by=tag")
refused(2, "--what has no say in sarif", "demo.json", "--to=sarif", "--what=total")
refused(2, "--times has no say in what is no watch", "demo.json", "--times=0")
refused(1, "it has a number that no computer's type holds", "-", stdin=b'{"gpa_report": 1e999}')
refused(1, "not_a_folder", "demo.json", "-o", "not_a_folder/x")
status, output, errors = run("--help")
check("--help", status == 0 and output.startswith(b"usage: gpa-report FILE") and errors == "")

# What is known by halves is told so, and what cannot be shown.
partly = dict(demo, mistakes_not_listed=7, totals=dict(demo["totals"], peak_is_exact=False, peak_bytes=1000))
partly["mistakes"] = [dict(demo["mistakes"][0], reason="seen twice", threads={"here": 7, "freed": 8, "allocated": 7})]
partly["frames"] = [{key: value for key, value in f.items() if key not in ("file", "line", "calls", "inlined")} for f in demo["frames"]]
shown = run("-", stdin=json.dumps(partly).encode())[1].decode()
for words in ("peak at least 1000 B", "own peak at most 1000 B", "8 mistakes", "    seen twice\n  first freed by thread 8\n", "(the last 7 are not"):
    check(f"says: {words}", words in shown, shown)
check("no thread where it is the same", "allocated by thread" not in shown, shown)
files = run("-", "--by=file", "--limit=0", stdin=json.dumps(partly).encode())[1].decode()
check("without files, modules", "\ndemo: size=" in files and "(no call stack): size=2000 B" in files, files)
never = dict(demo, sites=[], profiled=False, resource=dict(demo["resource"], checks="never", one_in=0))
check("unchecked", b"its blocks were not checked" in run("-", stdin=json.dumps(never).encode())[1])
refused(1, "it has no total of each site: its blocks were not checked", "-", "--what=total", stdin=json.dumps(never).encode())
notes = run("diff", "demo.json", "later.json", "--binary=/bin/true,/no_such,/tmp", "--debug-dir=/no_folder,/bin/true")[2]
for words in ("--binary=/bin/true: no module of the report has", "--binary=/no_such: No such file", "--binary=/tmp: it is a folder",
              "--debug-dir=/no_folder: No such", "--debug-dir=/bin/true: it is no folder"):
    check(f"notes once: {words}", notes.count(words) == 1, notes)

# Keys of tomorrow, and an estimate that is a fraction.
tomorrow = dict(demo, colour="blue", sites=[dict(demo["sites"][0], shade=7, live_bytes=14400.4)] + demo["sites"][1:])
status, output, errors = run("-", "--to=folded", stdin=json.dumps(tomorrow).encode())
check("unknown keys are passed over", status == 0 and output.decode().splitlines() == folded, errors)

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "out"
    check("-o writes nothing to stdout", output_of("demo.json", "-o", str(path)) == b"")
    check("-o writes the same", path.read_bytes() == output_of("demo.json"))

# How far a large file is read is told on a terminal, and nowhere else.
def all_shown(master, terminal):
    """What was written to a terminal. It comes in parts, and later than it was written."""
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(master, 1 << 16):
            shown += part
    except OSError:
        pass  # nobody has the other end any more
    os.close(master)
    return shown.decode()


large = text + b" " * (9 << 20)
master, terminal = pty.openpty()
done = subprocess.run([tool, "-", "--to=folded"], cwd=reports, input=large, stdout=subprocess.PIPE, stderr=terminal, timeout=60)
told = all_shown(master, terminal)
check("progress", done.returncode == 0 and re.search(r"\rreading -: +\d+ %", told) and "\r\x1b[K" in told, told)
damaged = large[: len(text) // 2] + b" " * (9 << 20)
master, terminal = pty.openpty()
done = subprocess.run([tool, "-"], cwd=reports, input=damaged, stdout=subprocess.PIPE, stderr=terminal, timeout=60)
told = all_shown(master, terminal)
check("progress goes before a refusal comes", "\r\x1b[K" in told and told.rpartition("\x1b[K")[2].startswith("gpa-report: -: "), told)
check("no progress in a file", "reading" not in run("-", "--to=folded", stdin=large)[2])

# ---- watch ----

# A program that answers SIGUSR2 as the library does: with a report beside its place, then moved there.
answering = """
import os, shutil, signal, sys, time
path = f"{sys.argv[2]}/{os.getpid()}.json"
def answer(number, frame):
    shutil.copy(sys.argv[1], path + ".new")
    os.rename(path + ".new", path)
signal.signal(signal.SIGUSR2, answer)
print("ready", flush=True)
for _ in range(600): time.sleep(0.1)
"""
with tempfile.TemporaryDirectory() as folder:
    options = f"stack_frames=8:report_path='{folder}/%p.json':max_reports=3"
    child = subprocess.Popen([sys.executable, "-c", answering, reports / "later.json", folder], stdout=subprocess.PIPE, env={"GPA_OPTIONS": options})
    child.stdout.readline()
    pid = str(child.pid)
    status, output, errors = run("watch", pid, "--times=2", "--interval=0.05")
    check("watch shows what the program writes", status == 0 and output.decode().count("src/cache.cpp:21") == 2, output.decode() + errors)
    status, output, errors = run("watch", pid, "--times=1", f"--file={folder}/%p.json", "--by=tag")
    check("watch --file", status == 0 and b"  cache\n" in output, output.decode() + errors)
    # A terminal of four lines: what has no room is left out, so that the first line does not scroll away.
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 4, 60, 0, 0))
    done = subprocess.run([tool, "watch", pid, "--times=2", "--interval=0.05"], stdout=terminal, timeout=60)
    shown = all_shown(master, terminal)
    screens = shown.split("\x1b[H")
    check("watch clears the screen once", shown.startswith("\x1b[2J\x1b[H") and shown.count("\x1b[2J") == 1 and len(screens) == 3, shown)
    check("watch keeps to the terminal's height", all(s.count("\n") == 3 and s.startswith("resource ") for s in screens[1:]), shown)
    watching = subprocess.Popen([tool, "watch", pid, "--interval=0.05"], stdout=subprocess.PIPE)
    watching.stdout.readline()
    child.kill()
    child.wait()
    output, _ = watching.communicate(timeout=30)
    check("watch ends with the program", watching.returncode == 0 and output.endswith(f"process {pid} has ended\n".encode()), output)
deaf = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
deaf.stdout.readline()
refused(1, "does not catch SIGUSR2, so it would die of it", "watch", str(deaf.pid))
check("and it lives", deaf.poll() is None)
deaf.kill()
while pathlib.Path(f"/proc/{deaf.pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z":
    pass  # it takes the kernel a moment
refused(1, "has ended", "watch", str(deaf.pid))
deaf.wait()
refused(1, "No such process", "watch", str(deaf.pid))
refused(1, "no process id: demo", "watch", "demo")

print("all as expected" if not failures else f"{len(failures)} failed")
sys.exit(1 if failures else 0)

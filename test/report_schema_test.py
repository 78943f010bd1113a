#!/usr/bin/env python3
"""Holds documents of every kind to lib/report_schema.json, and what a schema cannot say: numbers that point at things
point at some, sums are right, and a wrong document is refused.

    report_schema_test.py PROGRAM    test/programs/reports.cpp

Exit status: 0 good, 77 without Python's jsonschema, else 1.
"""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(77)

schema_file = pathlib.Path(__file__).parent.parent / "lib" / "report_schema.json"
schema = json.loads(schema_file.read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)


def in_range(name, index, array):
    assert 0 <= index < len(array), f"{name}: {index} is not below {len(array)}"


def look_at(name, d):
    for error in validator.iter_errors(d):
        raise AssertionError(f"{name}: {error.json_path}: {error.message}")
    for frame in d["frames"]:
        if frame["module"] is not None:
            in_range(name, frame["module"], d["modules"])
            base = int(d["modules"][frame["module"]]["base"], 16)
            assert int(frame["pc"], 16) == base + int(frame["rel"], 16), name
        assert all(call["inlined"] for call in frame["calls"][:-1]), name
    for trace in d["traces"]:
        for frame in trace:
            in_range(name, frame, d["frames"])
    assert len({tuple(trace) for trace in d["traces"]}) == len(d["traces"]), f"{name}: a stack stands there twice"
    assert len({frame["pc"] for frame in d["frames"]}) == len(d["frames"]), f"{name}: a frame stands there twice"
    for site in d["sites"]:
        in_range(name, site["trace"], d["traces"])
        assert ("total_bytes" in site) == d["profiled"], name
    for mistake in d["mistakes"]:
        for trace in mistake["traces"].values():
            in_range(name, trace, d["traces"])
    if not d["estimated"] and d["resource"]["checks"] == "always":
        for key in ["live_bytes", "live_blocks"] + (["total_bytes", "total_blocks"] if d["profiled"] else []):
            assert sum(site[key] for site in d["sites"]) == d["totals"][key], f"{name}: {key}"
    if d["profiled"]:
        assert d["totals"]["peak_age"] <= d["process"]["age"], name
        assert all(s["at_peak_bytes"] <= s["peak_bytes"] for s in d["sites"]), name
        if not d["estimated"]:
            assert sum(site["at_peak_bytes"] for site in d["sites"]) == d["totals"]["peak_bytes"], name


def breaks(name, d, change):
    wrong = copy.deepcopy(d)
    change(wrong)
    assert not validator.is_valid(wrong), f"{name} should be refused"


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    found = {f.stem: json.loads(f.read_text()) for f in pathlib.Path(folder).glob("*.json")}

assert sorted(found) == ["checked", "empty", "no_stacks", "profiled", "profiled_sampled", "sampled", "unchecked"], found
for name, d in found.items():
    look_at(name, d)

good = found["profiled"]
assert {m["rule"] for m in good["mistakes"]} == {"gpa-size-mismatch", "gpa-leak"}
assert {s["tag"] for s in good["sites"]} == {"", 'load "words"'}
assert good["resource"]["name"] == 'profiled \ufffd?"\\'
assert found["sampled"]["estimated"] and found["profiled_sampled"]["estimated"] and not good["estimated"]
assert not found["unchecked"]["sites"] and found["unchecked"]["totals"]["total_blocks"] > 2500
assert all(not t for t in found["no_stacks"]["traces"])

breaks("another version", good, lambda d: d.update(gpa_report=2))
breaks("a missing table", good, lambda d: d.pop("traces"))
breaks("a site without its bytes", good, lambda d: d["sites"][0].pop("live_bytes"))
breaks("half a history", good, lambda d: d["sites"][0].pop("temporary"))
breaks("a peak without its moment", good, lambda d: d["sites"][0].pop("at_peak_bytes"))
breaks("a number for an address", good, lambda d: d["frames"][0].update(pc=1))
breaks("an unknown reason", good, lambda d: d["process"].update(reason="whim"))
breaks("a short fingerprint", good, lambda d: d["mistakes"][0].update(fingerprint="ab"))

sites = sum(len(d["sites"]) for d in found.values())
print(f"{len(found)} documents, {sites} sites: as lib/report_schema.json says")

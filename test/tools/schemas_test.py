#!/usr/bin/env python3
"""SARIF and speedscope's format as gpa-report writes them, held to the schemas their readers publish; and the small
reports of these tests to gpa's own.

    schemas_test.py GPA_REPORT

Exit status: 0 good, 77 without Python's jsonschema, else 1.
"""

import copy
import json
import pathlib
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(77)

here = pathlib.Path(__file__).parent
reports = here / "reports"
tool = pathlib.Path(sys.argv[1]).resolve()


def validator_of(path):
    schema = json.loads(path.read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def hold(name, validator, document):
    for error in validator.iter_errors(document):
        raise AssertionError(f"{name}: {error.json_path}: {error.message}")


def breaks(name, validator, document, change):
    """A schema that lets everything pass would be no check."""
    wrong = copy.deepcopy(document)
    change(wrong)
    assert not validator.is_valid(wrong), f"{name} should be refused"


def export(*arguments):
    done = subprocess.run([tool, *arguments], cwd=reports, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


own = validator_of(here.parent.parent / "lib" / "report_schema.json")
sarif = validator_of(here / "schemas" / "sarif-2.1.0.json")
speedscope = validator_of(here / "schemas" / "speedscope.json")

names = sorted(path.name for path in reports.glob("*.json"))
assert len(names) >= 3, names
for name in names:
    hold(name, own, json.loads((reports / name).read_text()))
    hold(f"SARIF of {name}", sarif, export(name, "--to=sarif"))
    hold(f"speedscope of {name}", speedscope, export(name, "--to=speedscope"))
    print(f"{name}: a report of gpa; its SARIF 2.1.0 and speedscope files are as their schemas say")

log = export("demo.json", "--to=sarif")
assert len(log["runs"][0]["results"]) == 3
breaks("SARIF of another version", sarif, log, lambda d: d.update(version="2.0.0"))
breaks("a result without a message", sarif, log, lambda d: d["runs"][0]["results"][0].pop("message"))
breaks("a key SARIF does not know", sarif, log, lambda d: d["runs"][0]["results"][0].update(colour="red"))
breaks("line 0", sarif, log, lambda d: d["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"].update(startLine=0))
breaks("a frame without a place for it", sarif, log, lambda d: d["runs"][0]["results"][0]["stacks"][0]["frames"].append("main"))

profile = export("demo.json", "--to=speedscope", "--what=peak")
assert len(profile["profiles"]) == 3
breaks("weights that are words", speedscope, profile, lambda d: d["profiles"][0]["weights"].append("1"))
breaks("a unit speedscope does not know", speedscope, profile, lambda d: d["profiles"][0].update(unit="blocks"))
breaks("frames without names", speedscope, profile, lambda d: d["shared"]["frames"][0].pop("name"))

"""What the tests of gpa-report share: it is run where the small reports are, and every failed check is told at the end."""

import json
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).parent
reports = here / "reports"
tool = pathlib.Path(sys.argv[1]).resolve()
failures = []


def check(name, is_true, detail=""):
    if not is_true:
        failures.append(name)
        print(f"FAILED: {name}: {detail}")


def run(*arguments, stdin=b"", cwd=reports, **more):
    """Exit status, output, errors. A tool that hangs fails the test."""
    done = subprocess.run([tool, *arguments], cwd=cwd, input=stdin, capture_output=True, timeout=60, **more)
    return done.returncode, done.stdout, done.stderr.decode(errors="backslashreplace")


def refused(status, words, *arguments, stdin=b""):
    """One line on stderr that has those words, and nothing on stdout."""
    got, output, errors = run(*arguments, stdin=stdin)
    name = f"refuses {' '.join(map(str, arguments))}: {words}"
    errors = "".join(line for line in errors.splitlines(True) if not line.startswith("gpa-report: note: "))
    check(name, got == status and output == b"", f"exit status {got}, {output[:200]}")
    check(name, errors.count("\n") == 1 and errors.startswith("gpa-report: ") and words in errors, errors)


def report(name):
    return json.loads((reports / name).read_text())


def as_bytes(document):
    return json.dumps(document).encode()


def with_changes(document, **changes):
    return as_bytes(dict(document, **changes))


def finish():
    print("all as expected" if not failures else f"{len(failures)} failed")
    sys.exit(1 if failures else 0)

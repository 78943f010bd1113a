#!/usr/bin/env python3
"""How long the page of a large report takes to open and to answer a search, in headless Chromium.

    page_speed.py GPA_REPORT [SITES]

Makes a report of so many sites (100 000), each with a call stack of its own, and its page. Prints milliseconds from the
start of the navigation until the page can be used, and of hundreds of searches, each until the new layout is there, the
middle and the slowest ones. Exit status 1 when opening takes more than 3 s, or any search more than 200 ms.
"""

import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

tool = pathlib.Path(sys.argv[1]).resolve()
count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
most_to_open, most_to_search = 3000, 200

browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if browser is None:
    print("not run here: page_speed (no chromium)")
    sys.exit(77)


def make_report():
    """Stacks that branch off from each other, of 20 000 functions in 300 files; sizes as skewed as real ones are."""
    chance = random.Random(7)
    frames = []

    def frame(function, file="", line=0):
        call = {"function": function, "file": file, "line": line, "column": 5, "inlined": False, "library": file == ""}
        frames.append({"pc": hex(0x400000 + len(frames) * 16), "module": None, "rel": "0x0", "calls": [call]})
        return len(frames) - 1

    library = [frame("gpa::resource::do_allocate(unsigned long, unsigned long)"), frame("std::pmr::vector<int>::reserve(unsigned long)")]
    main = frame("main", "src/main.cpp", 10)
    functions = [
        frame(f"part_{i % 40}::class_{i % 900}::function_{i}(std::pmr::string const&, int)", f"src/part_{i % 40}/file_{i % 300}.cpp", i % 500 + 1)
        for i in range(20_000)
    ]
    stacks, sites = [[main]], []
    for trace in range(count):
        base = chance.choice(stacks[-5000:] if chance.random() < 0.5 else stacks[:2000])
        stack = base[: chance.randint(1, len(base))] + [chance.choice(functions) for _ in range(chance.randint(1, 4))]
        stacks.append(stack[:18])
        bytes, blocks = int(chance.paretovariate(1.1) * 64), chance.randint(1, 50)
        sites.append({
            "trace": trace, "tag": chance.choice(["", "parser", "cache"]), "size_class": 64, "live_bytes": bytes * blocks,
            "live_blocks": blocks, "peak_bytes": bytes * blocks * 2, "peak_blocks": blocks * 2,
            "at_peak_bytes": bytes * blocks, "at_peak_blocks": blocks, "total_bytes": bytes * blocks * 9,
            "total_blocks": blocks * 9, "temporary": blocks, "lifetime_sum": blocks * 1000})
    traces = [library + stack[::-1] for stack in stacks[1:]]
    totals = {key: sum(site[key] for site in sites) for key in ("live_bytes", "live_blocks", "total_bytes", "total_blocks", "peak_bytes")}
    return {"gpa_report": 1, "tool": {}, "process": {}, "resource": {}, "estimated": False, "profiled": True, "totals": totals,
            "modules": [], "frames": frames, "traces": traces, "sites": sites, "mistakes": []}


# Words typed letter by letter, taken away again, patterns; with every kind of row, zoomed in, and sorted by a text.
measuring = """<script>
const times = {open: performance.now()};
const kind = document.getElementById('kind'), input = document.getElementById('search');
const searches = [];
const search = (text, where) => {
  const start = performance.now();
  input.value = text;
  input.dispatchEvent(new Event('input'));
  document.body.getBoundingClientRect();
  searches.push([performance.now() - start, `"${text}", ${where}`]);
};
const all = (where) => {
  for (const word of ['function_77', 'part_7/', 'std::', 'main', 'not there'])
    for (let end = 1; end <= word.length; ++end) search(word.slice(0, end), where);
  for (const text of ['/class_1.*77/', '/^part_3.*(7|8)::.*int/', 'f', '']) search(text, where);
};
for (const rows of ['line', 'stack', 'function', 'file', 'tag', 'size']) {
  kind.value = rows;
  kind.dispatchEvent(new Event('change'));
  all(`a row for each ${rows}`);
}
kind.value = 'stack';
kind.dispatchEvent(new Event('change'));
for (const column of document.querySelectorAll('.head button')) {
  column.click();
  search('f', `stacks, sorted by ${column.textContent}`);
  search('', `stacks, sorted by ${column.textContent}`);
}
document.getElementById('library').click();
all('with library frames');
const frames = [...document.querySelectorAll('#flame g')].sort((a, b) => b.__data__.depth - a.__data__.depth);
frames[0].dispatchEvent(new MouseEvent('click', {bubbles: true}));
all('zoomed in');
searches.sort((a, b) => a[0] - b[0]);
times.searches = searches.length;
times.middle = searches[searches.length >> 1][0];
for (const [milliseconds, what] of searches.slice(-5)) times[`search ${what}`] = milliseconds;
document.body.dataset.times = JSON.stringify(times);
</script></body>"""

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "report.json").write_text(json.dumps(make_report()))
    subprocess.run([tool, folder / "report.json", "--to=html", "-o", folder / "page.html"], check=True)
    page = folder / "page.html"
    page.write_text(page.read_text().replace("</body>", measuring))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
         "--window-size=1280,860", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=300)
    times = json.loads(re.search(r'data-times="([^"]*)"', done.stdout)[1].replace("&quot;", '"'))

opened, worst = times.pop("open"), 0
print(f"{opened:7.0f} ms  until it is open")
print(f"{times.pop('middle'):7.0f} ms  the middle one of {times.pop('searches')} searches; the slowest:")
for what, milliseconds in times.items():
    worst = max(worst, milliseconds)
    print(f"{milliseconds:7.0f} ms  {what}")
sys.exit(1 if opened > most_to_open or worst > most_to_search else 0)

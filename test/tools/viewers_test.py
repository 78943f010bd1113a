#!/usr/bin/env python3
"""The page, DHAT's own viewer and speedscope's page in a browser: headless Chromium, from files, without a network; and
pprof's format by a decoder of others.

    viewers_test.py GPA_REPORT

A script is added to a copy of the page that uses it as a reader would, with mouse and keyboard, and leaves what it saw.
The last two want npm's speedscope and pprof-format, which test/run --browser puts into build/viewers; GPA_VIEWERS names
another folder. Exit status 77 where there is no Chromium.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).parent
reports = here / "reports"
tool = pathlib.Path(sys.argv[1]).resolve()
browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
dh_view = pathlib.Path("/usr/libexec/valgrind/dh_view.js")
modules = pathlib.Path(os.environ.get("GPA_VIEWERS", here.parent.parent / "build" / "viewers")) / "node_modules"
failures = []

if browser is None:
    print("not run here: viewers (no chromium)")
    sys.exit(77)


def check(name, is_true, detail=""):
    if not is_true:
        failures.append(name)
        print(f"FAILED: {name}: {detail}")


def output_of(*arguments):
    done = subprocess.run([tool, *arguments], cwd=reports, capture_output=True, timeout=60)
    check(" ".join(arguments), done.returncode == 0, done.stderr.decode())
    return done.stdout.decode()


# What every script may use; `seen` comes back.
prelude = """
window.onerror = (message) => { document.body.dataset.error = message; };
const seen = {};
const all = (selector) => [...document.querySelectorAll(selector)];
const text = (selector) => document.querySelector(selector).textContent;
const press = (target, key) => target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
const click = (target) => target.dispatchEvent(new MouseEvent('click', {bubbles: true}));
const frame = (name) => all('#flame g').find((g) => g.__data__.data.name === name);
const rows = () => all('.body .row').map((row) => row.firstChild.title);
const by = (kind) => { const s = document.getElementById('kind'); s.value = kind; s.dispatchEvent(new Event('change')); };
"""


def requests_in(log):
    """What pages asked a network for. The browser's own affairs have no page as their origin; nothing reaches anybody, as
    the proxy is not there."""
    wanted = []
    for line in log.read_text(errors="replace").splitlines():
        url, origin = (re.search(f'"{key}":"([^"]+)"', line) for key in ("url", "initiator"))
        if url and url[1].startswith(("http", "ws")) and origin and origin[1] != "not an origin":
            wanted.append(url[1])
    return wanted


def browse(address, folder, asks_network=False):
    """The document as it stands when the page has come to rest."""
    log = folder / "net.json"
    log.unlink(missing_ok=True)
    # A profile of its own, in the folder; root may not use the sandbox.
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
         f"--user-data-dir={folder}/profile", f"--log-net-log={log}", "--proxy-server=127.0.0.1:1",
         "--window-size=1280,860", "--virtual-time-budget=20000", "--dump-dom", address],
        capture_output=True, text=True, timeout=120)
    check("nothing is asked of a network", bool(requests_in(log)) == asks_network, requests_in(log))
    return done


def use(page, script, folder):
    """Opens the page, runs the script behind it, returns what that left in `seen`."""
    path = folder / "page.html"
    ending = f"<script>{prelude}{script}\ndocument.body.dataset.seen = JSON.stringify(seen);</script></body>"
    path.write_text(page.replace("</body>", ending))
    done = browse(path.as_uri(), folder)
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    error = re.search(r'data-error="([^"]*)"', done.stdout)
    check("no error in the page", error is None, error and error[1])
    check("the script ran to its end", found is not None, done.stdout[-2000:] + done.stderr[-2000:])
    if found is None:
        sys.exit(1)
    return json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)

    # Is a page that asks noticed?
    (folder / "asking.html").write_text("<body><img src='http://nobody.invalid/x.png'></body>")
    browse((folder / "asking.html").as_uri(), folder, asks_network=True)

    # ---- one report ----

    page = output_of("demo.json", "--to=html")
    check("nothing is loaded from elsewhere", not re.search(r"<(script|link|img|iframe)[^>]*\s(src|href)=", page))
    check("and nothing may be", "default-src 'none'" in page)
    seen = use(page, """
      seen.ready = document.documentElement.dataset.ready;
      seen.title = document.title;
      seen.frames = all('#flame g').map((g) => g.__data__.data.name).sort();
      seen.lines = rows();
      seen.chosen = text('#details h2');

      for (const kind of ['function', 'file', 'tag', 'size']) {
        by(kind);
        seen[kind] = rows();
      }
      by('stack');
      seen.rows = rows();

      document.getElementById('library').click();
      seen.library = all('#flame g').some((g) => g.__data__.data.name.startsWith('resource::do_allocate'));
      document.getElementById('library').click();

      const search = document.getElementById('search');
      press(document.body, '/');
      seen.slash = document.activeElement === search;
      search.value = 'PARSE';
      search.dispatchEvent(new Event('input'));
      seen.found = text('#found');
      seen.found_rows = rows();
      const fill = (name) => frame(name).querySelector('rect').getAttribute('fill');
      seen.marked = all('#flame g rect').filter((r) => ['#f08de6', '#a3429b'].includes(r.getAttribute('fill')))
        .map((r) => r.parentNode.__data__.data.name);
      search.value = '/op[e]n.int/';
      search.dispatchEvent(new Event('input'));
      seen.pattern = rows().length;
      press(search, 'Escape');
      seen.all_again = rows().length;

      click(frame('parse:12'));
      seen.zoomed = [text('#details h2'), rows(), document.getElementById('reset').disabled,
        all('#flame g').map((g) => g.__data__.data.name)];
      press(document.body, 'Escape');
      seen.unzoomed = [rows().length, document.getElementById('reset').disabled];

      frame('all').focus();
      press(frame('all'), 'ArrowDown');
      seen.down = document.activeElement.__data__.data.name;
      press(document.activeElement, 'ArrowDown');
      press(document.activeElement, 'ArrowUp');
      seen.up = document.activeElement.__data__.data.name;
      press(document.activeElement, 'ArrowRight');
      seen.right = document.activeElement.__data__.data.name;
      press(document.activeElement, 'Enter');
      seen.entered = [document.activeElement.__data__.data.name, rows().length];
      press(document.body, 'Escape');

      const grid = document.querySelector('.grid');
      press(grid, 'End');
      seen.last = text('.body .row[aria-selected=true]');
      press(grid, 'Home');
      press(grid, 'ArrowDown');
      seen.second = text('#details h2');
      press(grid, 'Enter');
      seen.opened = document.getElementById('reset').disabled;
      press(document.body, 'Escape');

      click(all('.head button')[0]);
      seen.by_place = rows();
      click(all('.head button')[0]);
      seen.by_place_down = rows();
      click(all('#measures button')[2]);
      seen.by_total = rows();

      click(document.getElementById('tab-mistakes'));
      seen.mistakes = all('.mistake h2').map((h) => h.textContent);
      click(all('.mistake .stack button').find((b) => b.textContent.startsWith('close')));
      seen.caret = text('#details .caret').indexOf('^');
      seen.excerpt = text('#details .chosen').trim();
      const theme = document.documentElement.dataset.theme;
      document.getElementById('theme').click();
      seen.theme = document.documentElement.dataset.theme !== theme;
    """, folder)

    open_cache, main_line = "src/cache.cpp:21", "src/main.cpp:14"
    fill_cache = "cache::fill:40"
    check("it says so when it is ready", seen["ready"] == "true")
    check("title", seen["title"] == "gpa: default, demo 2026-11-22T01:01:30Z", seen["title"])
    # The smallest site is about as wide as a pixel: it may be drawn.
    check("the user's frames", [f for f in seen["frames"] if not f.startswith("0x")] == [
        "(no call stack)", "all", fill_cache, "cache::open:21", "cache::open:21", "demo+0x2222", "main:14", "main:9",
        "parse:12"], seen["frames"])
    check("lines, largest first", seen["lines"] == [open_cache, "(no call stack)", main_line, "0x7ffe00001000"], seen["lines"])
    check("stacks, largest first", seen["rows"] == [open_cache, "(no call stack)", open_cache, main_line, "0x7ffe00001000"], seen["rows"])
    check("by function", seen["function"] == ["cache::open(int)", "(no call stack)", "main", "0x7ffe00001000"], seen["function"])
    check("by file", seen["file"] == ["src/cache.cpp", "(no call stack)", "src/main.cpp", "0x7ffe00001000"], seen["file"])
    check("by tag", seen["tag"] == ["cache", "(no tag)", "parser"], seen["tag"])
    check("by size class", seen["size"][0] == "up to 80 bytes" and len(seen["size"]) == 5, seen["size"])
    check("the largest is shown", seen["chosen"] == open_cache, seen["chosen"])
    check("library frames on request", seen["library"] is True)
    check("/ searches", seen["slash"] is True)
    check("search finds in any case", seen["found"] == "1 site, 1000 B, 5.3 %", seen["found"])
    check("search filters", seen["found_rows"] == [open_cache], seen["found_rows"])
    check("search marks", seen["marked"] == ["parse:12"], seen["marked"])
    check("search by pattern", seen["pattern"] == 2, seen["pattern"])
    check("Escape ends the search", seen["all_again"] == 5)
    check("zoom", seen["zoomed"][:3] == ["parse(char const*)", [open_cache], False], seen["zoomed"])
    check("zoom draws the way there and what is below",
          sorted(seen["zoomed"][3]) == ["all", "cache::open:21", "main:9", "parse:12"], seen["zoomed"])
    check("Escape zooms out", seen["unzoomed"] == [5, True], seen["unzoomed"])
    check("arrow keys", [seen["down"], seen["up"], seen["right"]] == ["main:14", "main:14", "(no call stack)"], seen)
    check("Enter zooms and keeps the place", seen["entered"] == ["(no call stack)", 1], seen["entered"])
    check("End", seen["last"].startswith("0x7ffe00001000"), seen["last"])
    check("arrow keys in the table", seen["second"] == "(no call stack)", seen["second"])
    check("Enter shows a site in the graph", seen["opened"] is False)
    check("sorted by place", seen["by_place"] == sorted(seen["rows"]), seen["by_place"])
    check("and back", seen["by_place_down"] == sorted(seen["rows"], reverse=True), seen["by_place_down"])
    check("by total bytes", seen["by_total"][:2] == [open_cache, open_cache], seen["by_total"])
    check("mistakes", seen["mistakes"] == [m["message"] for m in json.loads((reports / "demo.json").read_text())["mistakes"]])
    check("the source line", seen["excerpt"] == "33    session_pool.free(s);", seen["excerpt"])
    check("the caret, below column 8, behind a line number", seen["caret"] == len("33  ") + 7, seen["caret"])
    check("dark and light", seen["theme"] is True)

    # ---- two reports ----

    seen = use(output_of("diff", "demo.json", "later.json", "--to=html"), """
      seen.rows = all('.body .row').map((row) => row.children[0].title + ' ' + row.children[2].textContent);
      const hue = (name) => /hsl\\((\\d+)/.exec(frame(name).querySelector('rect').getAttribute('fill'))[1];
      seen.hues = [hue('cache::open:21'), hue('(no call stack)')];
      seen.text = frame('cache::open:21').getAttribute('aria-label');
    """, folder)
    check("what grew most comes first", seen["rows"][0] == "src/cache.cpp:21 +54.6 KiB", seen["rows"])
    check("what shrank most comes last", seen["rows"][-1] == "(no call stack) -2000 B", seen["rows"])
    check("grown is red, gone is blue", seen["hues"] == ["4", "215"], seen["hues"])
    check("both sizes are told", "70.3 KiB (+55.5 KiB, before 14.8 KiB)" in seen["text"], seen["text"])

    # ---- DHAT in Valgrind's viewer ----

    if dh_view.exists():
        data = output_of("demo.json", "--to=dhat").replace("</", "<\\/")
        seen = use(f"<html><body onload=''><script>{dh_view.read_text()}</script></body></html>", f"""
          onLoad();
          gData = JSON.parse({json.dumps(data)});
          buildTree();
          displayTree(0, 0, 0);
          seen.text = document.body.innerText;
        """, folder)
        check("DHAT's total", "499,936 bytes (100%" in seen["text"] and "1,223 blocks (100%" in seen["text"], seen["text"][:1500])
        check("DHAT's peak", "At t-gmax: 41,496 bytes (100%) in 290 blocks" in seen["text"], seen["text"][:1500])
        check("DHAT's moment of the peak", "Time: 20,000,000" in seen["text"] or "20,000,000" in seen["text"], seen["text"][:3000])
        check("DHAT's end", "At t-end:  18,776 bytes (100%) in 235 blocks" in seen["text"], seen["text"][:1500])
        check("DHAT's stacks", "cache::open(int) (src/cache.cpp:21:34)" in seen["text"], seen["text"][:3000])
    else:
        print("not run here: DHAT's viewer (no valgrind)")

    # ---- speedscope's own page: its format, and pprof's, in its table of functions ----

    release = modules / "speedscope" / "dist" / "release"
    if release.exists():
        shutil.copytree(release, folder / "speedscope")

        def speedscope(name, format):
            """[[words of a cell]]: what its page shows of the report in that format."""
            data = subprocess.run([tool, "demo.json", f"--to={format}"], cwd=reports, capture_output=True, check=True).stdout
            script = folder / "speedscope" / "profile.js"
            script.write_text(f"speedscope.loadFileFromBase64({json.dumps(name)}, '{base64.b64encode(data).decode()}')")
            address = (folder / "speedscope" / "index.html").as_uri()
            done = browse(f"{address}#localProfilePath={script}&view=sandwich", folder)
            return [cell for cell in re.sub(r"<[^>]*>", "\n", done.stdout).split("\n") if cell.strip()]

        seen = speedscope("demo.speedscope.json", "speedscope")
        check("speedscope names the report", "demo, resource default - speedscope" in seen, seen)
        check("speedscope's three profiles", "(1/3)" in seen, seen)
        for text in ("18.34 KB", "40.52 KB", "488.22 KB"):
            check("speedscope's totals", text in seen, seen)
        check("speedscope's functions", "parse(char const*)" in seen and "1000 B (5.3%)" in seen, seen)
        seen = speedscope("demo.pb.gz", "pprof")
        check("speedscope reads pprof", "cache::open(int)" in seen and "15.74 KB (86%)" in seen, seen)
    else:
        print("not run here: speedscope's page (no npm module speedscope in " + str(modules) + ")")

    # ---- pprof, decoded by others ----

    node = shutil.which("node")
    if node and (modules / "pprof-format").exists():
        (folder / "demo.pb.gz").write_bytes(
            subprocess.run([tool, "demo.json", "--to=pprof"], cwd=reports, capture_output=True, check=True).stdout)
        (folder / "decode.cjs").write_text("""
          const {Profile} = require(process.argv[2] + '/pprof-format');
          const bytes = require('zlib').gunzipSync(require('fs').readFileSync(process.argv[3]));
          const p = Profile.decode(bytes), text = (n) => p.stringTable.strings[Number(n)];
          const sums = {};
          p.sampleType.forEach((type, i) => {
            sums[text(type.type)] = p.sample.reduce((sum, s) => sum + Number(s.value[i]), 0);
          });
          const lines = new Map(p.function.map((f) => [f.id, text(f.name)]));
          const stacks = p.sample.map((s) => s.locationId.flatMap(
            (id) => p.location.find((l) => l.id === id).line.map((l) => lines.get(l.functionId) + ':' + l.line)));
          console.log(JSON.stringify({sums, stacks, builds: p.mapping.map((m) => text(m.buildId))}));""")
        done = subprocess.run([node, folder / "decode.cjs", modules, folder / "demo.pb.gz"], capture_output=True, text=True, timeout=60)
        check("pprof-format decodes it", done.returncode == 0, done.stderr)
        decoded = json.loads(done.stdout or "{}")
        demo = json.loads((reports / "demo.json").read_text())
        keys = {"inuse_objects": "live_blocks", "inuse_space": "live_bytes", "alloc_objects": "total_blocks",
                "alloc_space": "total_bytes", "peak_objects": "at_peak_blocks", "peak_space": "at_peak_bytes"}
        sums = {name: sum(site[key] for site in demo["sites"]) for name, key in keys.items()}
        check("pprof's totals are the report's", decoded.get("sums") == sums, decoded.get("sums"))
        calls = [[f"{call['function']}:{call['line']}" for frame in demo["traces"][site["trace"]]
                  for call in demo["frames"][frame]["calls"]] for site in demo["sites"]]
        check("pprof's stacks are the report's", decoded.get("stacks", [])[:4] == calls[:4], decoded.get("stacks"))
        check("pprof's build ids", decoded.get("builds") == [m["build_id"] for m in demo["modules"]], decoded.get("builds"))
    else:
        print("not run here: pprof by pprof-format (no node, or no such npm module in " + str(modules) + ")")

print("all as expected" if not failures else f"{len(failures)} failed")
sys.exit(1 if failures else 0)

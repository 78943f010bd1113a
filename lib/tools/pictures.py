#!/usr/bin/env python3
"""Makes the pictures of this folder's README anew: gpa-report's page in Chromium, and what it writes to a terminal.

usage: lib/tools/pictures.py BUILD_DIRECTORY

Profiles two real programs: examples/word_frequencies on all licence texts, with a double free, and the JSON parser of
test/programs/json_tree on documents of 10 and 50 MB made from them.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / 'examples'))
import screenshot  # noqa: E402: it draws terminals

build = pathlib.Path(sys.argv[1]).resolve()
tool = build / 'lib' / 'tools' / 'gpa-report'
browser = shutil.which('chromium')


def report(*arguments):
    return subprocess.run([tool, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def profile_words(folder):
    path = folder / 'words.json'
    subprocess.run(['./word_frequencies', 'double-free'], executable=build / 'examples' / 'word_frequencies', check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, 'GPA_OPTIONS': f'profile=1:report_path={path}'})
    return path


def profile_tree(folder, megabytes):
    """Its report while the whole tree stands, and what watch shows."""
    options = f'profile=1:report_signal=1:report_path={folder}/%n.json'
    child = subprocess.Popen(['./json_tree', str(megabytes)], executable=build / 'test' / 'programs' / 'json_tree',
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, 'GPA_OPTIONS': options})
    for _ in range(3):
        child.stdout.readline()
    table = report('watch', str(child.pid), '--resource=tree', '--times=1')
    path = shutil.move(folder / 'tree.json', folder / f'tree_{megabytes}.json')
    child.communicate()
    return path, table


def draw_page(picture, folder, theme, script, *arguments):
    path = folder / 'page.html'
    start = f"document.documentElement.dataset.theme !== '{theme}' && document.getElementById('theme').click();"
    page = report(*arguments, '--to=html')
    path.write_text(page.replace('</body>', f'<script>{start}{script}</script></body>'))
    subprocess.run([browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
                    '--disable-component-update', '--disable-sync', '--no-first-run', '--hide-scrollbars',
                    f'--user-data-dir={folder}/browser', '--window-size=1280,800', '--virtual-time-budget=3000',
                    f'--screenshot={HERE / picture}', path.as_uri()], check=True, stderr=subprocess.DEVNULL)
    if shutil.which('pngquant'):
        subprocess.run(['pngquant', '--force', '--strip', '--output', HERE / picture, HERE / picture], check=True)


def draw_terminal(picture, prompt, text):
    cut = [line if len(line) <= 118 else line[:115] + '...' for line in text.rstrip('\n').splitlines()]
    (HERE / picture).write_text('\n'.join(screenshot.drawn(prompt, cut)) + '\n')


with tempfile.TemporaryDirectory() as name:
    place = pathlib.Path(name)
    words = profile_words(place)
    small, _ = profile_tree(place, 10)
    large, watched = profile_tree(place, 50)
    draw_terminal('terminal_report.svg', '$ gpa-report words.json --limit=2', report(words, '--limit=2'))
    draw_terminal('terminal_watch.svg', '$ gpa-report watch $! --resource=tree', watched)
    draw_page('page_light.png', place, 'light',
              "const s = document.getElementById('search'); s.value = 'count_file'; s.dispatchEvent(new Event('input'));"
              "document.querySelector('.body .row').click();", words)
    draw_page('page_mistakes.png', place, 'dark', "document.getElementById('tab-mistakes').click();", words)
    draw_page('page_dark.png', place, 'dark', '', large)
    draw_page('page_diff.png', place, 'light', '', 'diff', small, large)

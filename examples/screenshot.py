#!/usr/bin/env python3
"""Draws the coloured report of an example, as a terminal shows it, into examples/NAME.svg.

usage: examples/screenshot.py [--check] BUILD_DIRECTORY NAME

Runs BUILD_DIRECTORY/examples/NAME with GPA_OPTIONS=color=always and turns what it writes to stderr into SVG: plain text in
whatever monospaced font the reader has, each line stretched to its width in columns, so that carets stand where they
belong. With --check nothing is written; exit status 1 if the picture does not say what the program says now, addresses
aside.
"""
import html
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
ESCAPE = re.compile(r'\x1b\[([0-9;]*)m')
COLOURS = {'31': '#f7768e', '32': '#9ece6a', '35': '#bb9af7', '36': '#7dcfff'}
FOREGROUND, BACKGROUND, FADED = '#c0caf5', '#1a1b26', '#7a88b8'
COLUMN, LINE, MARGIN = 7.8, 18, 16
SPACE = '\u00a0'  # others run together


def report_of(build, name):
    run = subprocess.run([build / 'examples' / name], env=os.environ | {'GPA_OPTIONS': 'color=always:annotations=never'},
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, cwd=build)
    text = run.stderr.replace(f'{HERE.parent}/', '')
    return re.sub(r'(^|[ (m])/?(?:\.\./)+examples/', r'\1examples/', text, flags=re.M).splitlines()


def pieces(line):
    """(style, words) of one line; a style is the parameters of the last escape sequence."""
    parts = ESCAPE.split(line)
    yield '', parts[0]
    yield from zip(parts[1::2], parts[2::2])


def styled(style, words):
    codes = style.split(';')
    fill = next((COLOURS[c] for c in codes if c in COLOURS), None)
    attributes = (f' fill="{fill}"' if fill else '') + (' font-weight="bold"' if '1' in codes else '')
    words = html.escape(words).replace(' ', SPACE)
    return f'<tspan{attributes}>{words}</tspan>' if attributes else words


def drawn(prompt, lines):
    columns = max(len(ESCAPE.sub('', line)) for line in lines)
    width, height = round(columns * COLUMN + 2 * MARGIN), (len(lines) + 1) * LINE + 2 * MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" fill="{FOREGROUND}">')
    yield f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>'
    for row, line in enumerate([prompt, *lines]):
        plain = ESCAPE.sub('', line)
        if not plain:
            continue
        words = ''.join(styled(style, words) for style, words in pieces(line) if words)
        faded = f' fill="{FADED}"' if row == 0 else ''
        yield (f'<text x="{MARGIN}" y="{MARGIN + (row + 1) * LINE - 5}" textLength="{len(plain) * COLUMN:.0f}" '
               f'lengthAdjust="spacingAndGlyphs"{faded}>{words}</text>')
    yield '</svg>'


def said(svg):
    """The report in a picture, without the prompt."""
    rows = xml.etree.ElementTree.fromstring(svg).iter('{http://www.w3.org/2000/svg}text')
    return [''.join(row.itertext()).replace(SPACE, ' ') for row in rows][1:]


def masked(lines):
    return [re.sub(r'0x[0-9a-f]+', '0x*', ESCAPE.sub('', line)) for line in lines if line]


def main(arguments):
    check = '--check' in arguments
    names = [a for a in arguments if a != '--check']
    if len(names) != 2:
        sys.exit(__doc__)
    build, name = pathlib.Path(names[0]).resolve(), names[1]
    picture = HERE / f'{name}.svg'
    lines = report_of(build, name)
    if not lines:
        sys.exit(f'{name} reported nothing')
    if not check:
        picture.write_text('\n'.join(drawn(f'$ ./{name}', lines)) + '\n')
    elif masked(said(picture.read_text())) != masked(lines):
        sys.exit(f'{picture.name} is out of date: examples/screenshot.py {names[0]} {name}')


if __name__ == '__main__':
    main(sys.argv[1:])

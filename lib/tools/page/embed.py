#!/usr/bin/env python3
"""Puts the page together and writes it as a C++ source: embed.py OUTPUT PAGE STYLE LICENSES LIBRARY SCRIPT...

The page has a comment where each part goes. Where the data goes it is cut: what stands before and what behind become
two arrays. Arrays of numbers, because compilers need not take string literals of this length.
"""

import sys

page, style, licenses, library, *scripts = (open(name, encoding="utf-8").read() for name in sys.argv[2:])
script = "\n".join(scripts)
for text in (script, library):
    if "</script" in text.lower() or "<!--" in text:
        sys.exit("embed.py: a script that ends its own element")
for mark, text in (("/*style*/", style), ("/*licenses*/", licenses.replace("*/", "* /")), ("/*library*/", library), ("/*script*/", script)):
    if page.count(mark) != 1:
        sys.exit(f"embed.py: the page has to have {mark} once")
    page = page.replace(mark, text)
before, after = page.split("/*data*/")

with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write('// Made by embed.py: the page of gpa-report, before and behind its data.\n\n#include "tools/page_parts.hpp"\n')
    out.write("\nnamespace gpa::tools {\n")
    for name, text in (("page_before_data", before), ("page_after_data", after)):
        data = text.encode("utf-8")
        # char may be signed.
        numbers = ",".join(str(b if b < 128 else b - 256) for b in data)
        out.write(f"\nstatic constexpr char {name}_bytes[] = {{{numbers}}};\n")
        out.write(f"const std::string_view {name}({name}_bytes, {len(data)});\n")
    out.write("\n}  // namespace gpa::tools\n")

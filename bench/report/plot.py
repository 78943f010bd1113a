#!/usr/bin/python3
"""Draws the charts of a run: plot.py FOLDER, which has first_table.json and everything.json.

first_table.svg: one panel a workload, each with its own scale, because workloads are not comparable with each other;
bars are medians, whiskers the quartiles over all rounds. A bar that would make the others too short is cut, and its
figure says so. fast.svg, checked.svg: one line a workload, a mark for each contender at its time divided by ours.
memory.svg: one panel a shape.
"""
import json
import os
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "gpa"  # the same figures give the same file
import matplotlib.pyplot as plt

OURS, OURS_TOO, OTHERS = "#1f5fa8", "#9dbfe3", "#b9b9b9"
FAST = ["gpa_1_in_1000", "mimalloc", "jemalloc", "tcmalloc", "glibc", "unsynchronized_pool", "synchronized_pool"]
CHECKED = ["gpa_stacks", "new_delete", "unsynchronized_pool", "synchronized_pool", "boost_unsynchronized", "zig_gpa",
           "zig_gpa_stacks"]
MARKS = "oosD^vXP"
HELD = ["gpa", "gpa_never", "mimalloc", "jemalloc", "tcmalloc", "glibc", "synchronized_pool", "zig_gpa"]


def colour(name, ours="gpa"):
    return OURS if name == ours else OURS_TOO if name.startswith("gpa") else OTHERS


def figure_of(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def wrapped(title, width=34):
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def bare(panel, *sides):
    for side in sides:
        panel.spines[side].set_visible(False)


def panels_of(count, columns=2, height=2.6):
    lines = -(-count // columns)
    figure, panels = plt.subplots(lines, columns, figsize=(10, height * lines), squeeze=False, layout="constrained")
    panels = panels.flatten()
    for panel in panels[count:]:
        panel.set_visible(False)
    return figure, panels


def save(figure, run, chart):
    figure.suptitle(f"{run['machine']['CPU']}, {run['machine']['date']}", fontsize=8)
    figure.savefig(chart, metadata={"Date": None})
    plt.close(figure)


def draw_bars(panel, row):
    bars = [(name, c["ns"]) for name, c in row["contenders"].items() if not name.endswith("_twin")]
    bars.reverse()  # the first on top
    # gpa with stacks may be far out: the panel is as wide as the other bars need.
    widest = 1.35 * max(ns["high_quartile"] for name, ns in bars if name != "gpa_stacks")
    for y, (name, ns) in enumerate(bars):
        cut = ns["median"] > widest
        panel.barh(y, min(ns["median"], widest), color=colour(name), height=0.7, hatch="//" if cut else None)
        if not cut:
            panel.plot([ns["low_quartile"], min(ns["high_quartile"], widest)], [y, y], color="black", linewidth=1)
        panel.text(
            widest if cut else max(ns["median"], ns["high_quartile"]) + 0.01 * widest, y,
            f" {figure_of(ns['median'])}" + (" (cut)" if cut else ""),
            ha="right" if cut else "left", va="center", fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5} if cut else None,
        )
    panel.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=8)
    panel.set_xlim(0, widest)
    panel.tick_params(axis="x", labelsize=7)
    panel.set_title(wrapped(row["title"]), fontsize=9, loc="left")
    panel.set_xlabel(f"ns per {row['operation']}", fontsize=8)
    bare(panel, "top", "right")


def draw_first_table(run, chart):
    figure, panels = panels_of(len(run["rows"]))
    for panel, row in zip(panels, run["rows"]):
        draw_bars(panel, row)
    save(figure, run, chart)


def draw_marks(run, base, names, chart):
    """Times divided by those of `base`, on one logarithmic scale: right of the line is slower than we are."""
    rows = [row for row in run["rows"] if base in row["contenders"]][::-1]
    if not rows:
        return
    figure, panel = plt.subplots(figsize=(10, 1.2 + 0.26 * len(rows)), layout="constrained")
    panel.axvline(1, color=OURS, linewidth=2)
    for n, name in enumerate(names):
        points = [(row["contenders"][name][f"divided_by_{base}"], y)
                  for y, row in enumerate(rows)
                  if f"divided_by_{base}" in row["contenders"].get(name, {})]
        if not points:
            continue
        line = panel.plot([s["median"] for s, _ in points], [y for _, y in points], MARKS[n % len(MARKS)], label=name,
                          markersize=5, color=f"C{n}", markerfacecolor=f"C{n}" if n % 2 else "none")[0]
        panel.hlines([y for _, y in points], [s["low_quartile"] for s, _ in points],
                     [s["high_quartile"] for s, _ in points], color=line.get_color(), linewidth=1)
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    panel.set_yticks(range(len(rows)), [row["title"] for row in rows], fontsize=7)
    panel.set_ylim(-0.7, len(rows) - 0.3)
    panel.grid(axis="y", linewidth=0.3)
    panel.set_xlabel(f"time divided by the time of {base}: right of the line, {base} is the faster one", fontsize=8)
    panel.legend(fontsize=7, ncols=4, loc="lower center", bbox_to_anchor=(0.3, 1.0), frameon=False)
    bare(panel, "top", "right")
    save(figure, run, chart)


def draw_memory(run, chart):
    if not run["memory"]:
        return
    figure, panels = panels_of(len(run["memory"]))
    for panel, shape in zip(panels, run["memory"]):
        names = [name for name in HELD if name in shape["contenders"]][::-1]
        for y, name in enumerate(names):
            held = {what: bytes_ / 2**20 for what, bytes_ in shape["contenders"][name].items()}
            panel.barh(y, held["peak"], color=colour(name), height=0.7)
            panel.barh(y, held["at_rest"], color="none", edgecolor="black", height=0.45, linewidth=0.8)
            panel.barh(y, held["trimmed"], color="black", height=0.15)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.tick_params(axis="x", labelsize=7)
        panel.set_title(wrapped(shape["title"], 44), fontsize=9, loc="left")
        panel.set_xlabel("MiB resident: at the peak (bar), all freed (frame), after trim() (line)", fontsize=7)
        bare(panel, "top", "right")
    save(figure, run, chart)


def main():
    folder = sys.argv[1]

    def load(name):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    if (first := load("first_table.json")) is not None:
        draw_first_table(first, os.path.join(folder, "first_table.svg"))
    if (everything := load("everything.json")) is not None:
        draw_marks(everything, "gpa_never", FAST, os.path.join(folder, "fast.svg"))
        draw_marks(everything, "gpa", CHECKED, os.path.join(folder, "checked.svg"))
        draw_memory(everything, os.path.join(folder, "memory.svg"))


if __name__ == "__main__":
    main()

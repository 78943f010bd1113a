#!/usr/bin/python3
"""Draws first_table.json as bars: plot.py RESULTS.json CHART.svg

One panel a workload, each with its own scale, because workloads are not comparable with each other; bars are medians,
whiskers the quartiles over all rounds. A bar that would make the others too short is cut, and its figure says so.
"""
import json
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "gpa"  # the same figures give the same file
import matplotlib.pyplot as plt

LEFT_OUT = {"gpa_twin"}  # the noise: a matter for the tables
OURS, OURS_TOO, OTHERS = "#1f5fa8", "#9dbfe3", "#b9b9b9"


def colour(name):
    return OURS if name == "gpa" else OURS_TOO if name.startswith("gpa") else OTHERS


def figure_of(ns):
    return f"{ns:.0f}" if ns >= 100 else f"{ns:.3g}"


def wrapped(title, width=34):
    lines = [""]
    for word in title.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def draw(panel, row):
    bars = [(name, c["ns"]) for name, c in row["contenders"].items() if name not in LEFT_OUT]
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
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def main():
    source, chart = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        run = json.load(file)
    rows, columns = run["rows"], 2
    lines = -(-len(rows) // columns)
    figure, panels = plt.subplots(lines, columns, figsize=(10, 2.6 * lines), squeeze=False, layout="constrained")
    panels = panels.flatten()
    for panel in panels[len(rows):]:
        panel.set_visible(False)
    for panel, row in zip(panels, rows):
        draw(panel, row)
    machine = run["machine"]
    figure.suptitle(f"{machine['CPU']}, {machine['date']}", fontsize=8)
    figure.savefig(chart, metadata={"Date": None})


if __name__ == "__main__":
    main()

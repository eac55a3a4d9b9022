"""The useful job: what an agent might write when asked "which measurement tells the species apart?".

Reads data/iris.csv, writes results/summary.md and results/petals.svg. Nothing here knows that it runs in
a sandbox.
"""

import csv
import os
from collections import defaultdict
from math import dist
from statistics import correlation, mean, stdev

MEASURES = ["sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm"]
COLOURS = {"setosa": "#2a9d8f", "versicolor": "#e9a03b", "virginica": "#9b5de5"}


def read(path):
    with open(path, newline="") as source:
        rows = list(csv.DictReader(source))
    groups = defaultdict(list)
    for row in rows:
        groups[row["species"]].append([float(row[m]) for m in MEASURES])
    return groups


def separation(groups, index):
    """Variance between the species over variance within them (the F ratio of one measurement)."""
    every = [f[index] for flowers in groups.values() for f in flowers]
    n, k = len(every), len(groups)
    between = sum(len(g) * (mean(f[index] for f in g) - mean(every)) ** 2 for g in groups.values())
    within = sum((f[index] - mean(h[index] for h in g)) ** 2 for g in groups.values() for f in g)
    return (between / (k - 1)) / (within / (n - k))


def guessed_right(groups):
    """How many flowers lie nearest to the centre of their own species, each left out of its centre."""
    right = 0
    for name, flowers in groups.items():
        for i, flower in enumerate(flowers):
            centres = {
                other: [mean(c) for c in zip(*(f for j, f in enumerate(members)
                                               if other != name or j != i))]
                for other, members in groups.items()
            }
            right += min(centres, key=lambda s: dist(centres[s], flower)) == name
    return right


def summary(groups):
    total = sum(len(g) for g in groups.values())
    lines = ["# Three species of iris", "", f"{total} flowers, mean ± standard deviation in cm.", "",
             "| species | " + " | ".join(m[:-3].replace("_", " ") for m in MEASURES) + " |",
             "|---|" + "---|" * len(MEASURES)]
    for name, flowers in groups.items():
        cells = [f"{mean(c):.2f} ± {stdev(c):.2f}" for c in zip(*flowers)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    ratios = {m: separation(groups, i) for i, m in enumerate(MEASURES)}
    best = max(ratios, key=ratios.get)
    every = [f for flowers in groups.values() for f in flowers]
    r = correlation([f[2] for f in every], [f[3] for f in every])
    right = guessed_right(groups)
    lines += ["", f"The species differ most in **{best[:-3].replace('_', ' ')}** (F = {ratios[best]:.0f}).",
              f"Petal length and width go together (r = {r:.3f}).",
              f"The nearest species centre is the right one for {right} of {total} flowers "
              f"({100 * right / total:.1f} %)."]
    return "\n".join(lines) + "\n", lines[-3:]


def chart(groups):
    """Petal length against petal width, as a scatter plot."""
    width, height, left, bottom = 560, 380, 56, 46

    def place(flower):
        return (left + flower[2] / 7.5 * (width - left - 20),
                height - bottom - flower[3] / 2.8 * (height - bottom - 30))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for cm in range(8):
        x, _ = place([0, 0, cm, 0])
        out.append(f'<text x="{x:.0f}" y="{height - bottom + 18}" text-anchor="middle">{cm}</text>')
    for tenths in (0, 10, 20):
        _, y = place([0, 0, 0, tenths / 10])
        out.append(f'<line x1="{left}" x2="{width - 20}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{tenths // 10}</text>')
    out.append(f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">petal length (cm)</text>')
    out.append(f'<text x="16" y="{height / 2}" text-anchor="middle" '
               f'transform="rotate(-90 16 {height / 2})">petal width (cm)</text>')
    for n, (name, flowers) in enumerate(groups.items()):
        for flower in flowers:
            x, y = place(flower)
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[name]}" opacity="0.75"/>')
        out.append(f'<circle cx="{left + 14}" cy="{24 + 18 * n}" r="5" fill="{COLOURS[name]}"/>'
                   f'<text x="{left + 26}" y="{28 + 18 * n}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    groups = read("data/iris.csv")
    text, findings = summary(groups)
    os.makedirs("results", exist_ok=True)
    with open("results/summary.md", "w") as out:
        out.write(text)
    with open("results/petals.svg", "w") as out:
        out.write(chart(groups))
    for line in findings:
        print(line.replace("**", ""))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the tables of scripts/results into one file, Markdown and a plot."""

import argparse
import csv
import datetime
import pathlib
import sys

from bench_report import processor, save, slug

SPEED_AT = "generated_tokens_per_second_at_"
LOSSES = [0.01, 0.1, 0.3, 1, 3, 10, 30, 100]


def read(path):
    """The rows of a table <name>-<context>.csv."""
    name, _, context = path.stem.rpartition("-")
    with path.open() as file:
        return [{"table": name, "context": context, **row} for row in csv.DictReader(file)]


def rows_of(folder):
    """The rows of all tables, those of the smallest context with the best speeds of all rounds."""
    paths = sorted(folder.glob("*-*.csv"), key=lambda p: int(p.stem.rpartition("-")[2]))
    best = {}
    rows = []
    for path in paths:
        for row in read(path):
            if not row["table"].startswith("speed_"):
                rows.append(row)
                continue
            table = row["table"].removeprefix("speed_").rstrip("_0123456789")
            speeds = best.setdefault((table, row["recipe"], row["cache"]), {})
            for key, value in row.items():
                if key.startswith(SPEED_AT):
                    speeds[key] = max(speeds.get(key, 0.0), float(value))
    for row in rows:
        # The speeds of the rows themselves were taken once, beside whatever else ran.
        for key in [key for key in row if "tokens_per_second" in key or key == "speed_ratio"]:
            del row[key]
        speeds = best.pop((row["table"], row["recipe"], row["cache"]), {})
        row.update({key: f"{value:.3f}" for key, value in speeds.items()})
    return rows


def write(rows, folder):
    """Writes all rows as one table and returns its path."""
    path = folder / f"{datetime.date.today()}-{slug(processor())}-caches.csv"
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w") as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def depths_of(row):
    """(depth, tokens a second) of a row."""
    return [
        (int(key.removeprefix(SPEED_AT)), float(value))
        for key, value in row.items()
        if key.startswith(SPEED_AT) and value
    ]


def print_table(head, lines):
    """A table in Markdown, numbers to the right."""
    print("\n| " + " | ".join(head) + " |")
    print("|---|" + "---:|" * (len(head) - 1))
    for line in lines:
        print("| " + " | ".join(line) + " |")


def ratio(row):
    return f"{float(row['perplexity_ratio']):.4f}"


def print_floats(rows):
    """Caches beside floats: bytes, speed by depth, perplexity by context."""
    by_cache = {}
    for row in rows:
        if row["table"] == "floats":
            by_cache.setdefault(row["cache"], []).append(row)
    first = next(iter(by_cache.values()))
    head = ["cache", "bytes a token"]
    head += [f"tok/s at {depth}" for depth, _ in depths_of(first[0])]
    head += [f"perplexity, {row['context']}" for row in first]
    lines = []
    for cache, found in by_cache.items():
        line = [f"`{cache}`", found[0]["cache_bytes_per_token"]]
        line += [f"{speed:.1f}" for _, speed in depths_of(found[0])]
        lines.append(line + [ratio(row) for row in found])
    print_table(head, lines)
    exact = [f"{float(row['perplexity']):.3f} ({row['context']})" for row in first]
    print("\nPerplexity against that of floats: " + ", ".join(exact))


def print_compressed(rows):
    """Caches beside compressed weights."""
    found = [row for row in rows if row["table"] == "compressed"]
    head = ["recipe", "cache", "MB", "bytes a token"]
    head += [f"tok/s at {depth}" for depth, _ in depths_of(found[0])] + ["perplexity"]
    lines = []
    for row in found:
        line = [f"`{row['recipe']}`", f"`{row['cache']}`", f"{float(row['megabytes']):.1f}"]
        line += [row["cache_bytes_per_token"], *(f"{speed:.1f}" for _, speed in depths_of(row))]
        lines.append([*line, ratio(row)])
    print_table(head, lines)


def plot(rows, path):
    """Loss against bytes, and speed against depth."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        from matplotlib import ticker
    except ImportError:
        print("no plot: no matplotlib", file=sys.stderr)
        return
    plt.rcParams["svg.hashsalt"] = "qompose"
    floats = [row for row in rows if row["table"] == "floats"]
    # Windows of the middle length: enough of them, and most tokens are quantized.
    contexts = sorted({int(row["context"]) for row in floats})
    middle = str(contexts[len(contexts) // 2])
    figure, (loss, speed) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for row in floats:
        if row["context"] != middle or row["cache"] == "f32":
            continue
        x = float(row["cache_bytes_per_token"]) / 1024
        y = max(100 * (float(row["perplexity_ratio"]) - 1), 0.005)
        loss.plot(x, y, "o", color="tab:blue")
        loss.annotate(row["cache"], (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8)
    loss.set_xscale("log")
    loss.set_yscale("log")
    for axis, ticks in ((loss.xaxis, [3, 4, 6, 8, 12, 16, 24]), (loss.yaxis, LOSSES)):
        axis.set_major_locator(ticker.FixedLocator(ticks))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(ticker.NullFormatter())
    loss.set_xlabel("KiB a token")
    loss.set_ylabel(f"% more perplexity, windows of {middle} tokens")
    loss.grid(True, which="both", alpha=0.2)
    for row in floats:
        if depths_of(row) and row["cache"] in ("f32", "f16", "int8", "int4", "nvfp4", "int3"):
            depths, speeds = zip(*depths_of(row))
            speed.plot(depths, speeds, "o-", label=row["cache"])
    speed.set_xscale("log", base=2)
    speed.xaxis.set_major_formatter("{x:g}")
    speed.set_ylim(bottom=0)
    speed.set_xlabel("tokens in the cache")
    speed.set_ylabel("generated tokens a second")
    speed.grid(True, alpha=0.2)
    speed.legend()
    save(figure, path)
    print(f"\n{path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="<table>-<context>.csv files")
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--plots", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    for folder in (arguments.results, arguments.plots):
        folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(arguments.folder)
    print(write(rows, arguments.results))
    print_floats(rows)
    print_compressed(rows)
    plot(rows, arguments.plots / "caches.svg")


if __name__ == "__main__":
    main()

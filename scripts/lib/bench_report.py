#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns what qompose_bench wrote into a table, a short JSON file and plots.

Exit status 1 if a row of ours computed something wrong.
"""

import argparse
import json
import pathlib
import platform
import re
import subprocess
import sys

import instruction_counts

# What a composition is compared with: the fastest of these.
PEERS = {
    "w8a8": ["onednn/u8s8", "onednn/s8s8", "xnnpack/qc8w"],
    "w4a8": ["xnnpack/qc4w"],
    "w4a8_g128": ["xnnpack/qb4w_g128"],
    "w4a8_g32": ["xnnpack/qb4w_g32"],
    "bf16": ["onednn/bf16", "onednn/f32", "openblas/f32"],
    "f32": ["onednn/f32", "openblas/f32", "xnnpack/f32"],
}
# The same for attention, by what a cache stores.
ATTENTION_PEERS = {
    "fp32_fp32": "onednn_attention/f32",
    "fp16_fp16": "ggml_attention/f16",
    "bf16_bf16": "ggml_attention/bf16",
    "int8_int8": "ggml_attention/q8_0",
    "int4_int4": "ggml_attention/q4_0",
}
SPEEDS = ["GB/s", "GOP/s", "of_read", "of_peak"]
COUNTERS = [*SPEEDS, "of_bound", "bytes", "ratio", *("hand_" + speed for speed in SPEEDS)]
NAME = re.compile(
    r"(?P<kind>linear|peer)/(?P<format>.+)/(?P<shape>\d+x\d+)/n:(?P<n>\d+)"
    r"(?:/(?P<heat>hot|cold))?(?:/threads:(?P<threads>\d+))?$"
)
ATTENTION = re.compile(
    r"(?P<kind>attention|peer)/(?P<format>.+)/(?P<column>(?:decode|prefill)_\d+x\d+)"
    r"(?:/threads:(?P<threads>\d+))?$"
)
BY_HAND = re.compile(
    r"zero_overhead/(?P<composition>\w+)/(?P<shape>\d+x\d+)/(?P<column>n:\d+)(?:/(?:hot|cold))?$"
)


def processor():
    """The processor's name as the system has it."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def slug(name):
    """A name as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def save(figure, path):
    """A figure as SVG, the same bytes for the same figures."""
    figure.savefig(path, metadata={"Date": None})
    # No blanks at the ends of lines, as in every file of the project.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def condensed(raw):
    """The rows with what matters of them."""
    rows = []
    for one in raw["benchmarks"]:
        row = {"name": one["name"]}
        if one.get("error_occurred"):
            row["error"] = one["error_message"]
        else:
            row["microseconds"] = round(one["real_time"], 3)
            row.update({key: float(f"{one[key]:.5g}") for key in COUNTERS if key in one})
            if "label" in one:
                row["way"] = one["label"]
        rows.append(row)
    context = raw["context"]
    return {
        "date": context["date"],
        "processor": processor(),
        "cpus": context["num_cpus"],
        "target": context.get("target", ""),
        "rows": rows,
    }


def tables(results):
    """{(shape, threads): {format: {column: row}}}, formats in the order of the rows."""
    found = {}
    for row in results["rows"]:
        name = NAME.match(row["name"])
        if not name:
            continue
        key = (name["shape"], int(name["threads"] or 1))
        format_name = name["format"] if name["kind"] == "linear" else "peer/" + name["format"]
        column = "n:" + name["n"] + ("/" + name["heat"] if name["heat"] else "")
        found.setdefault(key, {}).setdefault(format_name, {})[column] = row
    return found


def ratio_to_peer(formats, name, column):
    """How many times as fast as the fastest peer, or None."""
    ours = formats[name].get(column, {}).get("microseconds")
    theirs = [
        formats.get("peer/" + peer, {}).get(column, {}).get("microseconds")
        for peer in PEERS.get(name, [])
    ]
    theirs = [time for time in theirs if time]
    return min(theirs) / ours if ours and theirs else None


def cell(formats, name, column):
    """Speed, share of the limit in per cent, and the ratio to the peer."""
    row = formats[name].get(column)
    if row is None:
        return ""
    if "error" in row:
        return "wrong" if row["error"].startswith("result [") else "none"
    decode = column.startswith("n:1/")
    speed, share = ("GB/s", "of_read") if decode else ("GOP/s", "of_peak")
    text = f"{row[speed]:.1f} {100 * row[share]:.0f}%"
    ratio = ratio_to_peer(formats, name, column)
    return text + (f" {ratio:.2f}x" if ratio else "")


def add_loops(results, binary):
    """Beside each row zero_overhead/..., what the innermost loops of both sides are made of."""
    rows = [row for row in results["rows"] if BY_HAND.match(row["name"]) and "way" in row]
    if not rows:
        return
    try:
        counts = instruction_counts.count(binary, results["target"], rows[0]["way"])
    except (OSError, subprocess.CalledProcessError) as problem:
        print(f"no instruction counts: {problem}")
        return
    for row in rows:
        name = BY_HAND.match(row["name"])
        for side, loop in counts.get((name["composition"], name["column"]), {}).items():
            row[side + "_loop"] = loop


def print_by_hand(results):
    """Composed layers beside those written by hand."""
    rows = [row for row in results["rows"] if BY_HAND.match(row["name"]) and "error" not in row]
    if not rows:
        return
    print(f"\nComposed layers and layers written by hand ({rows[0]['way']})")
    print("  ratio: time of the composed layer over the hand-written one's; speeds as above;")
    print("  innermost loop: instructions per 1000 multiply-adds, accesses to the stack\n")
    width = max(len(row["name"]) for row in rows) - len("zero_overhead/") + 2
    print(f"  {'':<{width}}{'ratio':<8}{'composed':<18}{'by hand':<18}{'loop':<16}loop by hand")
    for row in rows:
        speed, share = ("GB/s", "of_read") if "/n:1/" in row["name"] else ("GOP/s", "of_peak")
        cells = [
            f"{row[prefix + speed]:.1f} {100 * row[prefix + share]:.0f}%" for prefix in ("", "hand_")
        ]
        loops = [
            f"{row[side]['per_1000']:.1f}, {row[side]['stack']}" if side in row else ""
            for side in ("composed_loop", "hand_loop")
        ]
        name = row["name"].removeprefix("zero_overhead/")
        line = f"  {name:<{width}}{row['ratio']:<8.3f}{cells[0]:<18}{cells[1]:<18}"
        print(f"{line}{loops[0]:<16}{loops[1]}".rstrip())


def print_tables(results):
    """What a person reads."""
    print(f"\n{results['processor']}, {results['target']}, {results['date'][:10]}")
    for row in results["rows"]:
        if row["name"].startswith("limit/") and "error" not in row:
            unit = "GB/s" if "GB/s" in row else "GOP/s"
            print(f"  {row['name']:<32} {row[unit]:8.1f} {unit:<6} {row['way']}")
    for (shape, threads), formats in tables(results).items():
        columns = sorted(
            {column for rows in formats.values() for column in rows},
            key=lambda c: (int(re.search(r"\d+", c)[0]), c),
        )
        print(f"\n{shape}, threads: {threads}")
        print("  n:1 in GB/s of stored weights and % of what a plain read reaches,")
        print("  others in GOP/s and % of the dot product in registers; x: times the fastest peer\n")
        width = max(len(name) for name in formats) + 2
        print(" " * (width + 2) + "".join(f"{column:<18}" for column in columns).rstrip())
        for name in formats:
            cells = "".join(f"{cell(formats, name, column):<18}" for column in columns)
            print(f"  {name:<{width}}{cells}".rstrip())
    print_attention(results)
    print_by_hand(results)
    problems = [row for row in results["rows"] if "error" in row]
    if problems:
        print("\nNot timed:")
        for row in problems:
            print(f"  {row['name']}: {row['error'][:100]}")


def attention_tables(results):
    """{threads: {format: {column: row}}}, formats and columns in the order of the rows."""
    found = {}
    for row in results["rows"]:
        name = ATTENTION.match(row["name"])
        if name:
            format_name = ("peer/" if name["kind"] == "peer" else "") + name["format"]
            formats = found.setdefault(int(name["threads"] or 1), {})
            formats.setdefault(format_name, {})[name["column"]] = row
    return found


def attention_cell(formats, name, column):
    """Milliseconds, share of the limit in per cent, and the ratio to the peer."""
    row = formats[name].get(column)
    if row is None:
        return ""
    if "error" in row:
        return "wrong" if row["error"].startswith("result [") else "none"
    share = row["of_read"] if column.startswith("decode") else row["of_peak"]
    text = f"{row['microseconds'] / 1000:.4g} {100 * share:.0f}%"
    theirs = formats.get("peer/" + ATTENTION_PEERS.get(name, ""), {}).get(column, {})
    if "microseconds" in theirs:
        text += f" {theirs['microseconds'] / row['microseconds']:.2f}x"
    return text


def print_attention(results):
    """Attention by what the cache stores."""
    for threads, formats in attention_tables(results).items():
        columns = list(dict.fromkeys(column for rows in formats.values() for column in rows))
        print(f"\nAttention, 32 query and 8 KV heads of 128 elements, threads: {threads}")
        print("  queries x tokens of the cache, in ms; decode with % of what a plain read reaches,")
        print("  prefill with % of the peak in registers; x: times the peer that stores alike\n")
        width = max(len(name) for name in formats) + 2
        print(" " * (width + 2) + "".join(f"{column:<20}" for column in columns).rstrip())
        for name in formats:
            cells = "".join(f"{attention_cell(formats, name, c):<20}" for c in columns)
            print(f"  {name:<{width}}{cells}".rstrip())


def limit_of(results, name, threads):
    """A limit row's speed in GOP/s, or None."""
    suffix = f"/threads:{threads}" if threads > 1 else ""
    for row in results["rows"]:
        if row["name"] == f"limit/{name}{suffix}":
            return row.get("GOP/s")
    return None


def plot(results, shape, threads, formats, path):
    """Speed of every format: at one token against reading, at more against the dot product."""
    try:
        import matplotlib
    except ImportError:
        print(f"no plot {path}: no matplotlib (scripts/install-dependencies plots)")
        return
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "qompose"
    from matplotlib import pyplot

    names = list(reversed(formats))
    places = range(len(names))
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 0.24 * len(names) + 1.8), sharey=True, layout="constrained"
    )
    for heat, shift, color in (("cold", 0.2, "#1f6fb4"), ("hot", -0.2, "#e08a2e")):
        rows = [formats[name].get(f"n:1/{heat}", {}) for name in names]
        speeds = [row.get("GB/s", 0) for row in rows]
        left.barh([y + shift for y in places], speeds, 0.38, color=color, label=f"weights {heat}")
        for y, row in zip(places, rows):
            if row.get("of_read"):
                limit = row["GB/s"] / row["of_read"]
                left.plot([limit] * 2, [y + shift - 0.19, y + shift + 0.19], color="black", lw=1)
    left.plot([], [], color="black", lw=1, label="a loop that only reads")
    left.set_yticks(list(places), names, fontsize=8)
    left.set_ylim(-0.7, len(names) - 0.3)
    left.set_xlabel("1 token: GB/s of stored weights")
    left.legend(fontsize=7)

    batches = sorted(
        {int(c[2:]) for rows in formats.values() for c in rows if re.fullmatch(r"n:\d+", c)}
    )
    colors = pyplot.get_cmap("viridis")
    for i, n in enumerate(batches):
        points = [(formats[name].get(f"n:{n}", {}).get("GOP/s"), y) for y, name in enumerate(names)]
        points = [point for point in points if point[0]]
        right.plot(
            [x for x, _ in points],
            [y for _, y in points],
            "o",
            ms=4,
            color=colors(0.9 * i / max(1, len(batches) - 1)),
            label=f"{n} tokens",
        )
    for name, text, style in (("integer_dot", "int8 dot", "--"), ("float", "float", ":")):
        limit = limit_of(results, name, threads)
        if limit:
            right.axvline(limit, color="black", ls=style, lw=1, label=f"{text}, in registers")
    right.set_xlabel("more tokens: GOP/s")
    right.legend(fontsize=7)
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.grid(axis="x", lw=0.3)
    threads_text = "1 thread" if threads == 1 else f"{threads} threads"
    figure.suptitle(
        f"{shape}, {threads_text}, {results['processor']} ({results['target']}), "
        f"{results['date'][:10]}",
        fontsize=10,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)
    pyplot.close(figure)
    print(f"wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=pathlib.Path, help="what --benchmark_out wrote")
    parser.add_argument("--binary", type=pathlib.Path, help="qompose_bench, to count instructions")
    parser.add_argument("--out", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--results", type=pathlib.Path, help="folder for <date>-<processor>.json")
    parser.add_argument("--plots", type=pathlib.Path, help="folder for linear-<shape>.svg")
    arguments = parser.parse_args()

    results = condensed(json.loads(arguments.raw.read_text()))
    if arguments.binary:
        add_loops(results, arguments.binary)
    print_tables(results)
    out = arguments.out
    if arguments.results:
        out = arguments.results / f"{results['date'][:10]}-{slug(results['processor'])}.json"
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        head = {key: value for key, value in results.items() if key != "rows"}
        lines = ",\n".join("  " + json.dumps(row) for row in results["rows"])
        out.write_text(json.dumps(head)[:-1] + ', "rows": [\n' + lines + "\n]}\n")
        print(f"\nwrote {out}")
    if arguments.plots:
        for (shape, threads), formats in tables(results).items():
            suffix = f"-threads{threads}" if threads > 1 else ""
            plot(results, shape, threads, formats, arguments.plots / f"linear-{shape}{suffix}.svg")
    ours_wrong = [
        row
        for row in results["rows"]
        if "error" in row
        and row["name"].startswith(("linear/", "attention/", "zero_overhead/"))
        and not row["error"].startswith("not run")
    ]
    sys.exit(1 if ours_wrong or not results["rows"] else 0)


if __name__ == "__main__":
    main()

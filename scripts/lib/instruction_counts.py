#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of the innermost loops that rows zero_overhead/... spend their time in.

Takes apart qompose_bench with objdump. In a function, the loop that counts is the one with the most
dot products among those around no other loop with any.
"""

import argparse
import pathlib
import re
import subprocess

# The weights of each composition, as the names of the library's kernels spell them.
WEIGHTS = {
    "w8a8": r"quant<qompose::int_n<8, [^>]*>, qompose::per_channel, qompose::scale<qompose::fp32>",
    "w4a8_g128": r"quant<qompose::int_n<4, [^>]*>, qompose::per_group<128ul>, "
    r"qompose::scale<qompose::fp16>",
    "two_level": r"quant<qompose::uint_n<4>, qompose::per_group<128ul>, "
    r"qompose::scale<qompose::progressive",
}
# Members that are called for one token and for many, of which the first that there is counts; those
# without a block of their own have panels and the tokens of a tile for arguments.
MEMBERS = {
    "n:1": [r"\w+<\d+ul, 1ul[^()]*>"],
    "n:128": [r"Block", r"\w+<2ul, 6ul[^()]*>", r"\w+<2ul, 8ul[^()]*>"],
}
HAND = {"n:1": "token", "n:128": "tokens"}
# Dot products, the best first: a loop with one of them uses the others for sums alone.
DOTS = ["vpdpbusd", "vpmaddubsw", "vpmaddwd"]
LINE = re.compile(r"\s*([0-9a-f]+):\t(\S+)\s*(.*)")


def functions(binary):
    """{demangled name: (first address, last address)} of a program."""
    found = {}
    text = subprocess.run(
        ["nm", "-CS", "--defined-only", str(binary)], check=True, capture_output=True, text=True
    ).stdout
    for line in text.splitlines():
        parts = line.split(" ", 3)
        if len(parts) == 4 and parts[2] in "tTwW":
            first = int(parts[0], 16)
            found[parts[3]] = (first, first + int(parts[1], 16))
    return found


def instructions(binary, place):
    """[(address, mnemonic, operands)] of a function."""
    text = subprocess.run(
        [
            "objdump",
            "-d",
            "--no-show-raw-insn",
            f"--start-address={place[0]}",
            f"--stop-address={place[1]}",
            str(binary),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    prefixes = {"notrack", "bnd", "{vex}", "{evex}", "lock", "rep"}
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        mnemonic, operands = match[2], match[3]
        while mnemonic in prefixes and operands:
            mnemonic, _, operands = operands.partition(" ")
        found.append((int(match[1], 16), mnemonic, operands.split("#")[0].strip()))
    return found


def operands_of(text):
    """Operands, the last one the destination."""
    return re.split(r",(?![^(]*\))", text)


def hot_loop(code):
    """What the loop with the most dot products is made of, or None."""
    at = {address: i for i, (address, _, _) in enumerate(code)}
    loops = []
    for i, (address, mnemonic, operands) in enumerate(code):
        target = re.match(r"([0-9a-f]+) <", operands)
        if mnemonic.startswith("j") and target:
            first = at.get(int(target[1], 16))
            if first is not None and first <= i:
                loops.append((first, i + 1))
    for dot in DOTS:
        counts = {
            loop: sum(m.startswith(dot) for _, m, _ in code[loop[0] : loop[1]])
            for loop in set(loops)
        }
        counts = {loop: count for loop, count in counts.items() if count > 0}
        innermost = [
            loop
            for loop in counts
            if not any(
                other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in counts
            )
        ]
        if innermost:
            first, last = max(innermost, key=lambda loop: counts[loop])
            return summary(code, code[first:last], dot)
    return None


def summary(code, loop, dot):
    """Counts of a loop's instructions."""
    frame = any(m == "mov" and o == "%rsp,%rbp" for _, m, o in code)
    stack = re.compile(r"\(%rsp|\(%rbp" if frame else r"\(%rsp")
    kinds = {"instructions": len(loop), "dots": 0, "loads": 0, "stores": 0, "stack": 0}
    multiply_adds = 0
    for _, mnemonic, text in loop:
        operands = operands_of(text)
        if mnemonic.startswith(dot):
            width = 64 if "%zmm" in text else 32 if "%ymm" in text else 16
            kinds["dots"] += 1
            multiply_adds += width // (2 if dot == "vpmaddwd" else 1)
        if mnemonic.startswith(("lea", "nop", "prefetch", "cs", "data16")) or "(" not in text:
            continue
        stores = "(" in operands[-1] and mnemonic.startswith(("mov", "vmov", "vpmov", "vextract"))
        kinds["stores" if stores else "loads"] += 1
        kinds["stack"] += bool(stack.search(text))
    kinds["dot"] = dot
    kinds["per_1000"] = round(1000 * kinds["instructions"] / multiply_adds, 1)
    return kinds


def count(binary, target, way):
    """{(composition, "n:1" or "n:128"): {"composed": counts, "hand": counts}}.

    target: the library's instruction set, such as AVX3_DL; way: the hand-written loops'.
    """
    names = functions(binary)
    hand = "avx512" if way.startswith("AVX-512") else "avx2"
    found = {}
    for composition, weights in WEIGHTS.items():
        for column, members in MEMBERS.items():
            composed = [
                rf"N_{target}::IntegerMatmul<qompose::panel_layout<qompose::{weights}"
                rf".*StoreScaled, 1ul>::{member}\("
                for member in members
            ]
            by_hand = [rf"::{hand}::{composition}_{HAND[column]}\("]
            sides = {}
            for side, patterns in (("composed", composed), ("hand", by_hand)):
                for pattern in patterns:
                    loops = [
                        hot_loop(instructions(binary, place))
                        for name, place in names.items()
                        if re.search(pattern, name)
                    ]
                    loops = [loop for loop in loops if loop]
                    if loops:
                        sides[side] = max(loops, key=lambda loop: loop["dots"])
                        break
            if sides:
                found[composition, column] = sides
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=pathlib.Path, help="qompose_bench")
    parser.add_argument("--target", default="AVX3_DL", help="the library's instruction set")
    parser.add_argument("--way", default="AVX-512 VNNI", help="the hand-written loops': or AVX2")
    arguments = parser.parse_args()
    for (composition, column), sides in count(
        arguments.binary, arguments.target, arguments.way
    ).items():
        for side, loop in sides.items():
            print(f"{composition:<11}{column:<7}{side:<10}", loop)


if __name__ == "__main__":
    main()

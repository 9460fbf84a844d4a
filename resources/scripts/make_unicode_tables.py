#!/usr/bin/env python3
"""Writes engine/tokenizer/unicode_tables.cpp from the Unicode data of the Python that runs it.

Usage: make_unicode_tables.py > engine/tokenizer/unicode_tables.cpp
"""

import sys
import unicodedata

LETTER, NUMBER, PUNCTUATION, SPACE = 1, 2, 4, 8
# The White_Space property: what \s means in the published patterns (str.isspace() has four control characters more).
SPACES = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def category(code):
    if code in SPACES:
        return SPACE
    return {"L": LETTER, "N": NUMBER, "P": PUNCTUATION}.get(unicodedata.category(chr(code))[0], 0)


def category_ranges():
    ranges = []
    for code in range(0x110000):
        value = category(code)
        if value == 0:
            continue
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == value:
            ranges[-1][1] = code
        else:
            ranges.append([code, code, value])
    return ranges


def case_ranges(convert):
    """Runs (first, last, stride, difference) of characters whose simple mapping lies at one distance."""
    ranges = []
    for code in range(0x110000):
        mapped = convert(chr(code))
        if len(mapped) != 1 or ord(mapped) == code:
            continue
        difference = ord(mapped) - code
        if ranges and ranges[-1][3] == difference:
            first, last, stride, _ = ranges[-1]
            step = code - last
            if step <= 2 and (first == last or step == stride):
                ranges[-1][1:3] = [code, step]
                continue
        ranges.append([code, code, 1, difference])
    return ranges


def write(name, kind, ranges):
    print(f"const {kind} {name}[] = {{")
    line = "   "
    for entry in ranges:
        text = " {" + ", ".join(hex(v) if i < 2 else str(v) for i, v in enumerate(entry)) + "},"
        if len(line) + len(text) > 140:
            print(line)
            line = "   "
        line += text
    print(line + "\n};")
    print(f"const std::size_t {name}_count = std::size({name});\n")


print(f"// Written by resources/scripts/make_unicode_tables.py from Unicode {unicodedata.unidata_version}; do not edit.")
print('#include "tokenizer/unicode_tables.h"\n\n#include <iterator>\n\nnamespace lrc::unicode {\n\n// clang-format off')
write("category_ranges", "CategoryRange", category_ranges())
write("lower_ranges", "CaseRange", case_ranges(str.lower))
write("upper_ranges", "CaseRange", case_ranges(str.upper))
print("// clang-format on\n\n}  // namespace lrc::unicode")
sys.stdout.flush()

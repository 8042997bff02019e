#!/usr/bin/env python3
"""Write C source that holds the files of the NF template. Called by meson.build.

usage: embed.py OUTPUT.c FILE...
"""
import os
import sys


def literal(data):
    """The bytes as C string literals, one per line of text."""
    lines = data.decode().splitlines(keepends=True)
    escape = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return "\n\t".join('"' + "".join(escape.get(c, c) for c in line) + '"' for line in lines)


with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write('/* The NF template; made by embed.py. */\n#include "cli/template.h"\n\n')
    out.write("const struct template_file template_files[] = {\n")
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            out.write(f'\t{{"{os.path.basename(path)}",\n\t{literal(file.read())}}},\n')
    out.write("\t{},\n};\n")

#!/usr/bin/env python3
"""docs/ARCHITECTURE.md, "Rooms": is it the tree? TAP. Every file of runtime/ in its folder of the table, every row a file; and no room uses one
of a folder that stands further down, which is seen by what it includes."""
import glob
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import finish, verdict  # noqa: E402

os.chdir(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
APART = {"seccomp", "selftest"}  # folders with headers of their own
NO_FILE = {"spec", "version", "seccomp_filter", "options_table", "hints_list", "selftest"}  # a header alone, made by the build, or of a folder apart


def name_of(path):
    return os.path.basename(path).split(".")[0]


def table():
    """(file without suffix: its folder), in the table's order of folders."""
    with open("docs/ARCHITECTURE.md", encoding="utf-8") as file:
        text = file.read().split("\n## Rooms\n")[1].split("\n## ")[0]
    folders, rooms = [], {}
    for folder, cell in re.findall(r"^\| (?:`([a-z]+)/`)? ?\| (`[^|]*) \|", text, re.MULTILINE):
        folders += [folder] if folder else []
        for room, parts in re.findall(r"`([a-z_]+)`(?: \(([^)]*)\))?", cell):
            for one in [room] + [room + part for part in re.findall(r"`(_[a-z]+)`", parts)]:
                rooms[one] = folders[-1]
    return folders, rooms


def main():
    folders, rooms = table()
    here = {name_of(path): path.split("/")[1] for path in glob.glob("runtime/*/*.c") if path.split("/")[1] not in APART}
    verdict(len(folders) == len(set(folders)) > 8 and set(folders) == set(here.values()), "the folders are those of the table", (folders, set(here.values())))
    verdict(glob.glob("runtime/*.c") == ["runtime/main.c"], "main.c alone stands beside them", glob.glob("runtime/*.c"))
    verdict(here == rooms, "every file is in its folder's row, and every row has a file", sorted(set(here.items()) ^ set(rooms.items())))

    headers = {name_of(path) for path in glob.glob("include/*")}
    verdict(not headers - set(rooms) - NO_FILE, "every header is a room's", sorted(headers - set(rooms) - NO_FILE))
    lonely = [one for one in rooms if one not in headers and not any(one.startswith(room + "_") for room in headers)]
    verdict(not lonely, "every room has its header", lonely)

    order = {room: folders.index(folder) for room, folder in rooms.items()}
    order["spec"] = folders.index("spec")
    upwards, of_main = [], []
    for path in glob.glob("runtime/*/*.[ch]") + glob.glob("include/*.h"):
        user = name_of(path)
        with open(path, encoding="utf-8") as file:
            used = re.findall(r'^#include "([a-z_]+)\.h"', file.read(), re.MULTILINE)
        if user in order:
            upwards += [f"{path} uses {one}, of {folders[order[one]]}/" for one in used if order.get(one, 0) > order[user]]
        of_main += [path for one in used if one == "main"]
    verdict(not upwards, "no room uses one of a folder further down", "\n".join(upwards))
    verdict(not of_main, "nothing uses main.c", of_main)
    finish()


main()

#!/usr/bin/env python3
"""The manual against what it describes, by machine and both ways: options, subcommands, every key and word of the record's and of
check's schema, check's needs, exit statuses, variables; and mandoc finds no fault with it. TAP. Environment: BIVY."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import finish, verdict  # noqa: E402

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")
BIVY = os.environ.get("BIVY", "")
FOREIGN = {"--user", "--scope", "--output-fields"}  # of systemd-run and journalctl, in examples


def schema_words(node, path=""):
    """(key or word, its dotted name, is it a key) of everything that a JSON Schema has."""
    for branch in node.get("oneOf", []) + ([node["items"]] if "items" in node else []):
        yield from schema_words(branch, path)
    for word in node.get("enum", []) + node.get("items", {}).get("enum", []):
        if word is not None:
            yield word, f"{path}: {word}", False
    for key, below in node.get("properties", {}).items():
        name = f"{path}.{key}" if path else key
        yield key, name, True
        yield from schema_words(below, name)


def load(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return list(schema_words(json.load(file)))


def plain(text):
    """A line of roff as its words."""
    text = re.sub(r"\\f[A-Z]", "", text).replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    if re.match(r"\.(B|I|SY|SS|SH) ", text):
        return text.split(" ", 1)[1].replace('"', "")
    if re.match(r"\.[BIR]{2} ", text):
        return "".join(bare or quoted for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', text[4:]))
    return text


class Page:
    """Sections by heading, a subsection under its own; of each the lines, and the heads of its .TP paragraphs."""

    def __init__(self, path):
        self.lines, self.heads = {}, {}
        with open(path, encoding="utf-8") as file:
            rows = [row for row in file.read().splitlines() if not row.startswith('.\\"')]
        at, after = "", ""
        for row in rows:
            if row.startswith((".SH ", ".SS ")):
                at = plain(row)
                self.lines[at], self.heads[at] = [], []
            elif at:
                self.lines[at].append(plain(row))
                if after in (".TP", ".TQ"):
                    self.heads[at].append(plain(row))
            after = row
        self.text = "\n".join(plain(row) for row in rows)
        self.words = {word.rstrip(".") for word in re.findall(r"[\w.-]+", self.text)}


def of_the_schemas(page):
    for name in "record.schema.json", "check.schema.json":
        # The sets of capabilities and the namespaces stand as a list in the paragraph of their parent.
        missing = [name for key, name, is_key in load(name)
                   if not {name if is_key else key, key if name.count(".") > 1 else name} & page.words]
        verdict(not missing, f"every key and word of {name} is in the manual", missing)
    keys = [name for _, name, is_key in load("record.schema.json") if is_key]
    heads = [name for head in page.heads["Keys"] for name in head.split(", ")]
    verdict(not [name for name in heads if name not in keys], "every paragraph of the keys is of a key that there is",
            [name for name in heads if name not in keys])
    tops = [key for key in keys if "." not in key]
    lacking = [top for top in tops if top not in heads
               and not set() < {key for key in keys if key.startswith(top + ".") and key.count(".") == 1} <= set(heads)]
    verdict(not lacking, "every key of the record has a paragraph, or each of those below it has", lacking)
    verdict(len(set(heads)) == len(heads), "and only one", sorted(name for name in heads if heads.count(name) > 1))
    of_top = [name.split(".")[0] for name in heads if not name.startswith("stderr")]  # which stands beside stdout
    order = [name for index, name in enumerate(of_top) if name not in of_top[max(0, index - 1):index]]
    verdict(order == [top for top in tops if top != "stderr"], "in the record's own order", (order, tops))
    dotted = {word.rstrip(".") for line in page.lines["Keys"] for word in re.findall(r"\b[a-z_]+(?:\.[a-z_]+)+\b", line)}
    wrong = sorted(name for name in dotted if name not in keys)
    verdict(not wrong, "no key is spoken of there that there is not", wrong)


def of_the_program(page):
    shown = subprocess.run([BIVY, "help"], check=True, capture_output=True, text=True).stdout
    verbs = re.findall(r"^ +bivy ([a-z]+) ", shown, re.MULTILINE)
    options = set(re.findall(r"^ +(?:-[a-z], )?(--[a-z-]+)", shown, re.MULTILINE))
    synopsis = [page.lines["SYNOPSIS"][index + 1].split()[0] for index, line in enumerate(page.lines["SYNOPSIS"]) if line == "bivy"]
    verdict(synopsis == verbs, "every subcommand has a line of the synopsis, in the order of bivy help", (synopsis, verbs))
    heads = page.heads["DESCRIPTION"]
    verdict(heads == [f"bivy {verb}" for verb in verbs], "every subcommand has a paragraph of its own, in that order", (heads, verbs))
    told = {re.search(r"--[a-z-]+", head)[0] for head in page.heads["OPTIONS"]}
    verdict(told == options, "the options are those of bivy help", told ^ options)
    spoken = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.text))
    wrong = spoken - options - FOREIGN - {"--option", "--completion"}
    verdict(not wrong, "no option is spoken of that there is not", wrong)


def of_the_statuses(page):
    """Those that docs/OUTCOMES.md has from real runs, with the outcome that gave them."""
    with open(os.path.join(DOCS, "OUTCOMES.md"), encoding="utf-8") as file:
        shows = [json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", file.read(), re.DOTALL)]
    heads = page.heads["EXIT STATUS"]
    named = {int(number) for head in heads for number in re.findall(r"\b\d{3}\b", head)} - {255, 128}
    seen = {show["bivy_exit"] for show in shows if show["outcome"] not in ("exited", "signaled")}
    verdict(seen <= named and named - seen <= {129, 130}, "every exit status of bivy's own has a paragraph, and no other", (heads, seen))
    text = " ".join(page.lines["EXIT STATUS"])
    outcomes = {show["outcome"] for show in shows} - {"exited", "signaled", "setup_failed"}
    verdict(all(re.search(rf"\b{name.removesuffix('ed')}", text) for name in outcomes), "and names the outcome", (outcomes, text))


def of_the_needs(page):
    """Whether this host has them or not."""
    done = subprocess.run([BIVY, "check", "--json"], capture_output=True, text=True, check=False)
    needs = [need["name"] for need in json.loads(done.stdout)["needs"]]
    heads = [name for head in page.heads["CHECK"] for name in head.split(", ")]
    verdict(heads == needs, "the needs are those of bivy check, in its order", (heads, needs))


def of_the_environment(page):
    asked = set()
    for path in glob.glob(os.path.join(os.path.dirname(DOCS), "runtime", "**", "*.c"), recursive=True):
        with open(path, encoding="utf-8") as file:
            asked |= set(re.findall(r'getenv\("([A-Z_]+)"\)', file.read()))
    told = {name for head in page.heads["ENVIRONMENT"] for name in head.split(", ")}
    verdict(told == asked - {"BIVY_WEAKEN"}, "the variables are those that bivy reads", told ^ asked)  # which the tests' binary alone knows


def main():
    if not os.access(BIVY, os.X_OK):
        print(f"Bail out! BIVY={BIVY}: not a program; run this with meson test")
        return 1
    with tempfile.TemporaryDirectory() as top:
        path = f"{top}/bivy.1"
        subprocess.run(["sh", f"{DOCS}/man-page", BIVY, f"{DOCS}/bivy.1.in", path], check=True)
        page = Page(path)
        of_the_schemas(page)
        of_the_program(page)
        of_the_needs(page)
        of_the_environment(page)
        of_the_statuses(page)
        if shutil.which("mandoc"):
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", path], capture_output=True, text=True, check=False)
            verdict(done.returncode == 0 and not done.stdout + done.stderr, "mandoc finds no fault", done.stdout + done.stderr)
        else:
            verdict(True, "mandoc finds no fault # SKIP no mandoc here; apt-get install mandoc")
    finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""docs/DEPLOY.md against the tree: options, profiles, units, paths and words that it names exist. TAP on stdout.
Environment: BIVY."""

import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True  # the checkout stays as it is
import walk  # noqa: E402

TREE = walk.CHECKOUT
PACKAGING = os.path.join(TREE, "packaging", "systemd")


def code(text):
    """What is set as code: each inline span and each command of a console block."""
    fenced = [command for block in walk.blocks(text) for _, command, _ in block.commands]
    plain = re.sub(r"(?ms)^```.*?^```$", "", text)
    return re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", plain) + fenced


def strange_options(text, known):
    """Options of bivy's that it has not got. An option is bivy's where it stands alone, or behind a call of bivy."""
    found = set()
    for span in code(text):
        own = re.search(r"(?s)\bbivy (?:run|plan|clean)\b(.*?)(?: -- |$)", span)
        words = own[1] if own else span if span.startswith("--") else ""
        found.update(re.findall(r"(?<![\w-])--[a-z][a-z-]*", words))
    return sorted(found - known), len(found)


def missing_files(text):
    """Relative links, and code that begins with a folder of the tree, that lead nowhere."""
    links = [it for it in re.findall(r"\]\(([^)#]+)", text) if "://" not in it]
    lost = [it for it in links if not os.path.exists(os.path.join(TREE, "docs", it))]
    seen = len(links)
    for span in code(text):
        for path in re.findall(r"(?<![\w/.-])((?:packaging|scripts|tests|rootfs|examples|docs)/[\w./-]+)", span):
            seen += 1
            if not os.path.exists(os.path.join(TREE, path)):
                lost.append(path)
    return lost, seen


def missing_units(text):
    """Units and settings files that neither packaging/systemd nor systemd nor the guide itself makes."""
    theirs = {"systemd-modules-load", "systemd-sysctl", "systemd-sysusers"}
    made = {os.path.splitext(it)[0].split("@")[0] for it in os.listdir(PACKAGING)}
    named = set(re.findall(r"\b((?:bivy|weed)-?[a-z-]*)(?:@[a-z]*)?\.(?:service|slice)\b", text))
    named |= set(re.findall(r"systemctl (?:[a-z]+ )(?:--now )?((?:bivy|weed|systemd)-[a-z-]+)", text))
    files = set(re.findall(r"\b(60-bivy-[a-z]+\.conf)\b", text))
    return sorted(named - made - theirs) + [it for it in files if not os.path.exists(os.path.join(PACKAGING, it))]


def unknown_paths(text):
    """Files below /etc and /usr/local/libexec that install does not put there."""
    with tempfile.TemporaryDirectory() as root:
        install = [os.path.join(PACKAGING, "install"), "--root", root]
        done = subprocess.run(install, capture_output=True, text=True, check=True)
        installed = {line.removeprefix(root) for line in done.stdout.splitlines()}
    below = r"etc/(?:bivy|systemd|sysctl\.d|sysusers\.d|modules-load\.d)|usr/local/libexec"
    named = set(re.findall(r"(?<![\w/])(/(?:%s)/[\w./@-]*[\w@])" % below, text))
    lost = sorted(it for it in named if not any(file == it or file.startswith(it + "/") for file in installed))
    return lost, len(named)


def table_words(text, heading):
    """The first column of the first table below a heading, without its head."""
    body = text.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in body.splitlines() if line.startswith("| `")]
    return {re.match(r"\| `([^`]+)`", row)[1] for row in rows} - {"workspace.error"}


def errors_of_schema():
    found = set()

    def look(node):
        if isinstance(node, dict):
            if "not_mounted" in node.get("enum", []):
                found.update(it for it in node["enum"] if it)
            for below in node.values():
                look(below)
        elif isinstance(node, list):
            for below in node:
                look(below)

    with open(os.path.join(TREE, "docs", "record.schema.json"), encoding="utf-8") as file:
        look(json.load(file))
    return found


def unknown_stages(text, known):
    return sorted(set(re.findall(r"stage\s+`([a-z_]+)`", text)) - known)


def main():
    with open(walk.DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    usage = subprocess.run([os.environ["BIVY"], "help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"(?m)^ +(?:-[a-z], )?(--[a-z-]+)", usage))
    with open(os.path.join(TREE, "docs", "record.schema.json"), encoding="utf-8") as file:
        words = set(re.findall(r'"([a-z_]+)"', file.read()))
    points = []

    def point(name, good, said=""):
        points.append(bool(good))
        print(f"{'ok' if good else 'not ok'} {len(points)} - {name}")
        if not good:
            print("#   " + str(said).replace("\n", "\n#   "))

    strange, seen = strange_options(text, known)
    point("every option is one of bivy's", not strange and seen >= 10, (strange, seen))
    strange, _ = strange_options(text + "\n`bivy run --no-such -- x --theirs` `--nor-this`\n", known)
    point("one that is not is found", strange == ["--no-such", "--nor-this"], strange)
    lost, seen = missing_files(text)
    point("every file of the tree is there", not lost and seen >= 8, (lost, seen))
    lost, _ = missing_files(text + "\n[a](../no/such) `tests/no-such`\n")
    point("one that is not is found", lost == ["../no/such", "tests/no-such"], lost)
    own = {"weed-trial"}
    lost = [it for it in missing_units(text) if it not in own]
    point("every unit is there", not lost, lost)
    lost = missing_units(text + "\n`weed-umount@x.service` 60-bivy-no.conf\n")
    point("one that is not is found", {"weed-umount", "60-bivy-no.conf"} <= set(lost), lost)
    lost, seen = unknown_paths(text)
    point("every installed path is installed", not lost and seen >= 6, (lost, seen))
    lost, _ = unknown_paths(text + "\n/etc/bivy/no.conf\n")
    point("one that is not is found", lost == ["/etc/bivy/no.conf"], lost)
    table, schema = table_words(text, "8. When a workspace"), errors_of_schema()
    point("the table has every workspace.error and no other", table == schema and len(table) == 10, table ^ schema)
    lost = unknown_stages(text, words)
    point("every stage is one of the record's", not lost, lost)
    found = walk.blocks(text)
    run = [it for it in found if it.mark]
    point("blocks are run, or say why not", len(run) >= 10 and all(it.mark or it.reason for it in found), len(run))
    try:
        walk.blocks(text + "\n```console\n# true\n```\n")
        point("one that says neither is found", False)
    except ValueError as error:
        point("one that says neither is found", "does not say" in str(error), error)
    matches = [
        (["a"], "a\n", True), (["a"], "b\n", False), (["a"], "a\nb\n", False), ([], "a\n", False),
        (["a…c"], "abc\n", True), (["…", "b"], "x\ny\nb\n", True), (["…", "b"], "x\n", False),
        (["a.c"], "abc\n", False),
    ]  # fmt: skip
    wrong = [it for it in matches if bool(walk.expected(it[0]).fullmatch(it[1])) != it[2]]
    point("what a block prints is compared as it says", not wrong, wrong)
    print(f"1..{len(points)}")
    return 0 if all(points) else 1


if __name__ == "__main__":
    sys.exit(main())

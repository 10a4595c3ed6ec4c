#!/usr/bin/env python3
"""The completions that bivy makes of its option table, in the shells themselves: bash and fish are asked, bash and zsh are typed at. TAP.

Environment: BIVY, BIVY_ROOTFS. Each shell is started without the user's own files, in an empty home, beside a `bivy` whose `ps` shows
hostile lines, or is bivy's own.
"""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import finish, verdict  # noqa: E402

BIVY = os.environ.get("BIVY", "")
PATIENCE = 60
IDS = ["0123456789ab", "zzzzzzzzzzzz"]
ELSEWHERE = "eeeeeeeeeeee"
PS = """ID            AGE  COMMAND
0123456789ab  1s   sleep 60
zzzzzzzzzzzz  2s   $(touch hacked)
$(touch hacked) 3s x
`touch hacked` 3s x
kkkkkkkkkkkk-no 4s y
"""


def script(shell):
    return subprocess.run([BIVY, "help", f"--completion={shell}"], check=True, capture_output=True, text=True).stdout


def run(words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False, **more)


class Place:
    """A home, a bivy on the PATH, and the scripts."""

    def __init__(self, top):
        self.top = top
        for name in ("home", "bin", "zsh", "at/dir one", "at/dir two", "at/evil$(touch hacked)", "at/line\n$(touch hacked)"):
            os.makedirs(f"{top}/{name}")
        for name in ("file.txt", "file two", "text;touch hacked"):
            with open(f"{top}/at/{name}", "w", encoding="utf-8"):
                pass
        os.makedirs(f"{top}/home/.config/bivy/profiles")
        with open(f"{top}/home/.config/bivy/profiles/small-one", "w", encoding="utf-8"):
            pass
        with open(f"{top}/ps", "w", encoding="utf-8") as file:
            file.write(PS)
        with open(f"{top}/bin/bivy", "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\ncase "$*" in\n'
                       f'*--cgroup-parent=/other* | *"--cgroup-parent /other"*) echo "{ELSEWHERE} 1s x"; exit ;;\nps*) exec cat "{top}/ps" ;;\nesac\nexec "{BIVY}" "$@"\n')
        os.chmod(f"{top}/bin/bivy", 0o755)
        for shell, name in (("bash", "bash"), ("zsh", "zsh/_bivy"), ("fish", "fish")):
            with open(f"{top}/{name}" if shell == "zsh" else f"{top}/{name}.completion", "w", encoding="utf-8") as file:
                file.write(script(shell))
        self.env = {"BIVY_ROOTFS": "/nonexistent", "HOME": f"{top}/home", "PATH": f"{top}/bin:{os.environ['PATH']}", "TERM": "xterm", "LANG": "C.UTF-8",
                    "TERM_PROGRAM": "none", "OPTION_ONE": "1", "XDG_CONFIG_HOME": f"{top}/home/.config",
                    "XDG_DATA_HOME": f"{top}/home/.local/share"}
        self.at = f"{top}/at"

    def bash(self, *words):
        """What bash offers for the last word."""
        text = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); complete -p bivy >/dev/null || exit 9; '
                '_bivy; printf "%s\\n" "${COMPREPLY[@]}"')
        done = run(["bash", "--norc", "-c", text, "bash", f"{self.top}/bash.completion", *words], cwd=self.at, env=self.env)
        return {line for line in done.stdout.splitlines() if line} | ({done.stderr} if done.stderr else set())

    def fish(self, *words):
        line = " ".join(words)
        done = run(["fish", "--private", "-c", f"source {self.top}/fish.completion; complete -C '{line}'"], cwd=self.at, env=self.env)
        return {line.partition("\t")[0] for line in done.stdout.splitlines()} | ({done.stderr} if done.stderr else set())


class Typed:
    """An interactive shell on a terminal of its own."""
    words = {
        "bash": (["bash", "--norc", "--noprofile", "-i"],
                 ". {0}/bash.completion; PS1=; bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'; "
                 "bind 'set page-completions off'; stty columns 200 rows 200; echo rea''dy\n"),
        "zsh": (["zsh", "-f", "-i"],
                "fpath=({0}/zsh $fpath); PS1=; autoload -Uz compinit; compinit -D -u; zstyle ':completion:*' list-prompt ''; "
                "LISTMAX=1000; setopt no_list_beep no_beep; stty columns 200 rows 200; echo rea''dy\n"),
    }

    def __init__(self, place, shell):
        self.seen = ""
        words, begin = self.words[shell]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(place.at)
            os.execvpe(shell, words, place.env)
        self.say(begin.format(place.top))
        self.wait("ready")

    def say(self, text):
        os.write(self.fd, text.encode())

    def wait(self, text):
        """Reads until text is there; False when it is not within a minute."""
        end = time.monotonic() + PATIENCE
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return False
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                return False
            self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r|\x07", "", part.decode(errors="replace"))
        return True

    def offers(self, line, wanted):
        """Is wanted among what TAB shows for line?"""
        self.say("\x15")
        self.seen = ""
        self.say(line + "\t")
        return self.wait(wanted)

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def live(place):
    """The id of a real sandbox, out of bivy's own ps."""
    if os.geteuid() != 0 or not os.path.exists(os.environ.get("BIVY_ROOTFS", "")):
        verdict(True, "the id of a live sandbox # SKIP needs root and a rootfs (BIVY_ROOTFS)")
        return
    os.symlink(BIVY, f"{place.top}/real")
    os.rename(f"{place.top}/real", f"{place.top}/bin/bivy")
    mark = f"600.{os.getpid()}"
    with subprocess.Popen([BIVY, "run", "--timeout", "600s", "--", "sh", "-c", f"echo began; sleep {mark}; :"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as sandbox:
        try:
            sandbox.stdout.readline()
            ids, end = [], time.monotonic() + PATIENCE
            while not ids and time.monotonic() < end:  # its pid 1 may be a moment behind its command
                there = json.loads(run([BIVY, "ps", "--json"]).stdout)["sandboxes"]
                ids = [one["id"] for one in there if mark in json.dumps(one["command"])]
            verdict(len(ids) == 1, "ps shows the live sandbox", there)
            for shell, ask in (("bash", place.bash), ("fish", place.fish)):
                if shutil.which(shell):
                    seen = ask("bivy", "kill", "")
                    verdict(set(ids) <= seen, f"{shell}: the id of a live sandbox", (ids, seen))
            if shutil.which("zsh") and ids:
                shell = Typed(place, "zsh")
                verdict(shell.offers(f"bivy enter {ids[0][:-1]}", ids[0] + " "), "zsh: the id of a live sandbox", shell.seen[-2000:])
                shell.end()
        finally:
            sandbox.terminate()


def per_shell(place, shell, ask):
    """The same questions to bash and fish."""
    options = {f"--{name}" for name in ("memory", "cpus", "rootfs", "network", "report", "timing", "keep-on-fail")}
    seen = ask("bivy", "")
    verdict({"run", "plan", "ps", "kill", "enter", "clean", "help", "version", "shell", "check", "selftest"} <= seen,
            f"{shell}: the subcommands", seen)
    verdict(ask("bivy", "pl") == {"plan"}, f"{shell}: a subcommand begun", ask("bivy", "pl"))
    seen = ask("bivy", "run", "--")
    verdict(options <= seen and "--json" not in seen, f"{shell}: the options of run, and no other's", seen)
    seen = ask("bivy", "ps", "--")
    verdict({"--json", "--cgroup-parent"} <= seen and not options & seen, f"{shell}: the options of ps", seen)
    seen = ask("bivy", "run", "--memory", "1G", "--network", "")
    verdict(seen == {"none", "loopback"}, f"{shell}: the words of a choice", seen)
    seen = ask("bivy", "run", "--log", "j")
    verdict(seen == {"journal"}, f"{shell}: a word begun", seen)
    seen = {name.rstrip("/") for name in ask("bivy", "run", "--workspace", "dir")}
    verdict({name.replace("\\", "") for name in seen} == {"dir one", "dir two"}, f"{shell}: directories for a workspace", seen)
    seen = {name.replace("\\", "") for name in ask("bivy", "run", "--report", "file")}
    verdict(seen == {"file.txt", "file two"}, f"{shell}: files for a report", seen)
    seen = ask("bivy", "run", "--env", "OPTION_O")
    verdict(seen == {"OPTION_ONE"}, f"{shell}: variables for --env", seen)
    seen = ask("bivy", "run", "--profile", "small")
    verdict(seen == {"small-one"}, f"{shell}: profiles", seen)
    for verb in ("kill", "enter"):
        seen = ask("bivy", verb, "")
        verdict(seen == set(IDS), f"{shell}: ids for {verb}, of those lines that begin with one", seen)
    for words in (["--cgroup-parent", "/other"], ["--cgroup-parent=/other"] if shell == "fish" else ["--cgroup-parent", "=", "/other"]):
        seen = ask("bivy", "kill", *words, "")
        verdict(seen == {ELSEWHERE}, f"{shell}: ids below the cgroup parent that was given: {' '.join(words)}", seen)
    seen = ask("bivy", "run", "--", "ls", "--")
    verdict(not options & seen, f"{shell}: no option of bivy's behind --", seen)
    seen = ask("bivy", "run", "--memory", "1G", "ls", "--")
    verdict(not options & seen, f"{shell}: nor behind the command", seen)
    seen = {name.replace("\\", "") for name in ask("bivy", "run", "--", "cat", "file.")}
    verdict(seen == {"file.txt"}, f"{shell}: files for the command", seen)
    verdict(not os.path.exists(f"{place.at}/hacked"), f"{shell}: nothing of what ps printed was run")


def bash(place):
    """What readline makes of an answer: a name must stand in the line so that the shell takes it for a name."""
    shell = Typed(place, "bash")
    try:
        for line, wanted, what in (
            ("bivy run --network l", "loopback ", "the words of a choice"),
            ("bivy run --rootfs ev", "evil\\$\\(touch\\ hacked\\)/", "a directory, quoted"),
            ("bivy run --workspace=ev", "--workspace=evil\\$\\(touch\\ hacked\\)/", "the same behind ="),
            ("bivy run -w ev", "evil\\$\\(touch\\ hacked\\)/", "and behind the letter"),
            ("bivy run --workspace dir\\ o", "dir\\ one/", "a directory that was begun with a quoted blank"),
            ("bivy run --report te", "text\\;touch\\ hacked ", "a file, quoted"),
            ("bivy run -- cat te", "text\\;touch\\ hacked ", "a file for the command, quoted"),
        ):
            verdict(shell.offers(line, wanted), f"bash, typed at: {what}", f"{line}: {shell.seen[-2000:]}")
            shell.say("\n")  # and run: this bivy may refuse it as it likes
        shell.say("\x15echo do''ne\n")
        verdict(shell.wait("done") and not os.path.exists(f"{place.at}/hacked"), "bash, typed at: no file's name was run", shell.seen[-2000:])
    finally:
        shell.end()


def zsh(place):
    shell = Typed(place, "zsh")
    try:
        for line, wanted, what in (
            ("bivy pl", "plan ", "a subcommand begun"),
            ("bivy run --netw", "--network=", "an option begun"),
            ("bivy run --network l", "loopback ", "the words of a choice"),
            ("bivy run --network=l", "--network=loopback", "the same behind ="),
            ("bivy run --workspace dir", "dir\\ ", "directories for a workspace"),
            ("bivy run --rootfs ev", "evil\\$\\(touch\\ hacked\\)/", "and for a rootfs, quoted"),
            ("bivy run -t -w dir", "dir\\ ", "and behind the letter"),
            ("bivy run --profile sm", "small-one ", "profiles"),
            ("bivy run --env OPTION_O", "OPTION_ONE", "variables for --env"),
            ("bivy kill 01", "0123456789ab ", "ids for kill"),
            ("bivy enter zz", "zzzzzzzzzzzz ", "ids for enter"),
            ("bivy kill --cgroup-parent /other ee", ELSEWHERE + " ", "ids below the cgroup parent that was given"),
            ("bivy kill --cgroup-parent='/other $(touch hacked)' ee", ELSEWHERE + " ", "and its words are not run"),
            ("bivy run -- cat file.", "file.txt ", "files for the command"),
            ("bivy ps --", "JSON on stdout", "the options of ps with their help"),
            ("bivy run --t", "from the start of the run", "the options of run with their help"),
        ):
            verdict(shell.offers(line, wanted), f"zsh: {what}", f"{line}: {shell.seen[-2000:]}")
    finally:
        shell.end()
    verdict(not os.path.exists(f"{place.at}/hacked"), "zsh: nothing of what ps printed was run")


def main():
    if not os.access(BIVY, os.X_OK):
        print(f"Bail out! BIVY={BIVY}: not a program; run this with meson test")
        return 1
    with tempfile.TemporaryDirectory() as top:
        place = Place(os.path.realpath(top))
        for shell, ask in (("bash", place.bash), ("fish", place.fish), ("zsh", None)):
            if not shutil.which(shell):
                verdict(True, f"{shell} # SKIP no {shell} here; apt-get install {shell}")
                continue
            path = f"{place.top}/zsh/_bivy" if shell == "zsh" else f"{place.top}/{shell}.completion"
            done = run([shell, "-n", path])
            verdict(done.returncode == 0 and not done.stderr, f"{shell}: its own check finds no fault", done.stderr)
            if shell == "zsh":
                zsh(place)
            else:
                per_shell(place, shell, ask)
            if shell == "bash":
                bash(place)
        seen = place.bash("bivy", "run", "--network", "=", "lo")
        verdict(seen == {"loopback"}, "bash: a value behind =, which bash makes a word of its own", seen)
        seen = place.bash("bivy", "run", "--network", "=")
        verdict(seen == {"none", "loopback"}, "bash: the same before its first letter", seen)
        live(place)
        verdict(place.bash("bivy", "clean", "x") == set(), "bash: nothing where there is nothing", place.bash("bivy", "clean", "x"))
    finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())

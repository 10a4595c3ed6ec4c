"""TAP for tests in Python: a point at a time, the plan at the end."""
import os

points = 0


def verdict(good, what, text=""):
    global points
    points += 1
    print(f"{'ok' if good else 'not ok'} {points} - {what}")
    if not good:
        print("".join(f"# {line}\n" for line in str(text).splitlines()), end="", flush=True)


def finish():
    print(f"1..{points}")


def excuse():
    """The exit status where a test of the binary cannot run, which is said; None where it can."""
    for name in "BIVY", "BIVY_ROOTFS":
        if not os.path.exists(os.environ.get(name, "")):
            print(f"Bail out! {name}: run this with meson test")
            return 1
    if os.geteuid() != 0:
        print("1..0 # SKIP not root, and no delegated cgroup is known here")
        return 0
    return None

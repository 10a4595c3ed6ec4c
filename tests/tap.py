"""TAP for tests in Python: a point at a time, the plan at the end."""
points = 0


def verdict(good, what, text=""):
    global points
    points += 1
    print(f"{'ok' if good else 'not ok'} {points} - {what}")
    if not good:
        print("".join(f"# {line}\n" for line in str(text).splitlines()), end="", flush=True)


def finish():
    print(f"1..{points}")

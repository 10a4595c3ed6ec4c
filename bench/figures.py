"""Schedules and statistics: pure, no clock, no process."""

import math
import random


def quantile(values, part):
    """The value below which `part` of the values lie, between two neighbours in proportion."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


QUANTILES = (("min", 0.0), ("p10", 0.1), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


def spread(values):
    """All the quantiles that are kept, and how many values there were; None where there were none."""
    if not values:
        return None
    return {name: quantile(values, part) for name, part in QUANTILES} | {"n": len(values)}


def ratio(one, other):
    """one / other, None where either is missing or nothing."""
    return None if one is None or not other else one / other


def interleave(peers, blocks, rng):
    """`blocks` blocks one after another, each with every peer once, in an order of its own."""
    order = []
    for _ in range(blocks):
        block = list(range(peers))
        rng.shuffle(block)
        order += block
    return order


def generator(seed, *what):
    """Random numbers that depend on the seed and on what they are for, not on which cases ran before."""
    return random.Random(":".join([str(seed), *map(str, what)]))

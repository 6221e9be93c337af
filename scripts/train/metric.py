"""Recall, false passes, precision, AP: pure functions of scores and labels."""

from __future__ import annotations

import numpy as np

from box import overlap
from teacher import TRUTH


def share(values: np.ndarray) -> str:
    """Mean of booleans as text, with what it is made of."""
    return f"{100 * values.mean():.1f} %" if len(values) else "-"


def threshold_at(scores: np.ndarray, recall: float) -> float:
    """The highest threshold at which at least `recall` of these (present) scores still pass."""
    return float(np.sort(scores)[int(np.floor((1 - recall) * len(scores)))])


def auc(present: np.ndarray, empty: np.ndarray) -> float:
    """Probability that a present frame scores above an empty one; ties count half."""
    above, equal = present[:, None] > empty[None], present[:, None] == empty[None]
    return float(above.mean() + 0.5 * equal.mean())


def match(found: np.ndarray, labels: np.ndarray, kind: int) -> tuple[list[tuple[float, int]], int]:
    """Pair the boxes of one class with the teacher's, best first, each truth once, at IoU >= 0.5.

    found, labels: rows (x1, y1, x2, y2, score, class). Labels below TRUTH are "do not care": a box that covers one
    counts neither way. Returns (score, 1 hit / 0 false) per box that counts, and the number of truths.
    """
    truths = labels[(labels[:, 4] >= TRUTH) & (labels[:, 5] == kind)]
    ignored = labels[labels[:, 4] < TRUTH]
    used = np.zeros(len(truths), bool)
    pairs = []
    for row in found[found[:, 5] == kind]:
        best = np.where(used, 0, overlap(row[None], truths)[0][0])
        if len(best) and best.max() >= 0.5:
            used[best.argmax()] = True
            pairs.append((float(row[4]), 1))
            continue
        same, covered = overlap(row[None], ignored)
        if len(ignored) and (same.max() > 0.3 or covered.max() > 0.6):
            continue
        pairs.append((float(row[4]), 0))
    return pairs, len(truths)


def average_precision(pairs: list[tuple[float, int]], truths: int) -> float:
    """All-point AP of `match`'s pairs of many frames."""
    ranked = np.array(sorted(pairs, key=lambda pair: -pair[0])).reshape(-1, 2)
    hits = np.cumsum(ranked[:, 1])
    recall = np.concatenate([[0], hits / truths])
    precision = np.maximum.accumulate((hits / np.arange(1, len(ranked) + 1))[::-1])[::-1]
    return float((np.diff(recall) * precision).sum())


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"

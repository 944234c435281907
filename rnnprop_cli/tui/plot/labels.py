"""Where letters and tick labels go when several want the same place."""

from collections.abc import Sequence


def spread(wanted: Sequence[float], rows: int) -> list[int | None]:
    """A row of its own for each label, as close as can be to the wanted one.

    Rows count from 0 and may be wanted in fractions, so that lines which end in one row keep their order. The
    squared shift is least (isotonic regression: labels that crowd each other move as one). If there are more
    labels than rows the last ones get None.

    >>> spread([3, 3, 3, 9], 12)
    [2, 3, 4, 9]
    """
    placed: list[int | None] = [None] * len(wanted)
    order = sorted(range(min(len(wanted), max(rows, 0))), key=lambda index: (wanted[index], index))
    blocks: list[tuple[float, int]] = []  # (mean of wanted row minus rank, how many labels)
    for rank, index in enumerate(order):
        mean, size = wanted[index] - rank, 1
        while blocks and blocks[-1][0] > mean:
            earlier, count = blocks.pop()
            mean, size = (earlier * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    starts = [round(mean) for mean, size in blocks for _ in range(size)]
    for rank, (index, start) in enumerate(zip(order, starts, strict=True)):
        placed[index] = min(max(start, 0), rows - len(order)) + rank
    return placed


def without_overlap(centres: Sequence[tuple[int, str]], width: int, gap: int = 2) -> list[tuple[int, str]]:
    """Labels centred on columns as (first column, text), kept inside ``width``; those in the way are left out."""
    placed: list[tuple[int, str]] = []
    free_from = 0
    for centre, text in centres:
        start = min(max(centre - len(text) // 2, 0), width - len(text))
        if start >= free_from and len(text) <= width:
            placed.append((start, text))
            free_from = start + len(text) + gap
    return placed

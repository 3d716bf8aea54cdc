"""Axes: which cell of an axis a token lies in."""
import numpy as np

from .record import UnknownRun

MOST_VALUES = 1000


def position_cell(positions):
    """0, 1, 2-3, 4-7, ...: the number of binary digits."""
    return np.where(positions > 0, np.floor(np.log2(np.maximum(positions, 1))).astype(int) + 1, 0)


def position_name(cell):
    return str(cell) if cell < 2 else f"{1 << cell - 1}-{(1 << cell) - 1}"


def label_cells(run, label):
    """(names, cell of each text, -1 without the label): values in order, those beyond the most frequent share one cell."""
    values = run.label_values(label)
    names, counts = np.unique([v for v in values if v is not None], return_counts=True)
    if len(names) > MOST_VALUES:
        raise UnknownRun("more values of a label than this tool tells apart")
    index = {name: i for i, name in enumerate(names)}
    return [str(n) for n in names], np.array([index.get(v, -1) for v in values])


def rows_by_cell(run, axis, tokens):
    """(names, cell of each row)"""
    if axis == "position":
        cells = position_cell(tokens.position)
        last = max(position_cell(t.position).max() for t in run.tables)
        return [position_name(c) for c in range(last + 1)], cells
    names, of_text = label_cells(run, axis)
    return names, of_text[tokens.text]

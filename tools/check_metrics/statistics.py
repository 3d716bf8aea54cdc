"""What every group of metrics needs: intervals, quantiles, information, draws."""
import math

import numpy as np
from scipy.stats import t as student

from .answers import TOLERANCE, Near

MINIMUM_TEXTS = 5


def half_width(left_out, freedom=None):
    """Half of the 95 % interval by delete-one jackknife; NaN below five texts. `left_out` [texts, ...]: the statistic without each."""
    left_out = np.asarray(left_out, np.float64)
    n = len(left_out)
    if n < MINIMUM_TEXTS:
        return np.full(left_out.shape[1:], np.nan)
    quantile = student.ppf(0.975, n - 1 if freedom is None else freedom)
    return quantile * np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))


def ends(value, half):
    """(low, high) as they are compared: within 1e-6 of the half width, since an end may lie next to 0. None without an interval."""
    if value is None or math.isnan(half):
        return None, None
    return tuple(Near(float(end), TOLERANCE * max(abs(end), half)) for end in (value - half, value + half))


def ratio_interval(sums, counts):
    """(low, high) of the ratio of two sums over texts; texts that count nothing are no texts."""
    sums, counts = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    sums, counts = sums[counts > 0], counts[counts > 0]
    if len(sums) < MINIMUM_TEXTS:
        return None, None
    return ends(sums.sum() / counts.sum(), float(half_width((sums.sum() - sums) / (counts.sum() - counts))))


def quantile(values, share):
    """By nearest rank: the smallest value that at least `share` of them do not exceed."""
    ranked = np.sort(values)
    return float(ranked[min(len(ranked), max(1, math.ceil(share * len(ranked)))) - 1])


def entropy(counts, axis=-1):
    """Of counts along an axis, in nats; 0 where there are none."""
    counts = np.asarray(counts, np.float64)
    total = counts.sum(axis=axis, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = counts / total
        return np.where(shares > 0, -shares * np.log(shares), 0).sum(axis=axis)


def information(tables):
    """Plug-in mutual information of tables [..., cells, experts], in nats."""
    tables = np.asarray(tables, np.float64)
    total = tables.sum(axis=(-1, -2))
    joint = _xlogx(tables).sum(axis=(-1, -2))
    own = _xlogx(tables.sum(axis=-1)).sum(axis=-1) + _xlogx(tables.sum(axis=-2)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, (joint - own) / total + np.log(total), 0.0)


def _xlogx(x):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, x * np.log(x), 0.0)


def probability_error(p, draws):
    return math.sqrt(max(p * (1 - p), 1 / draws) / draws)

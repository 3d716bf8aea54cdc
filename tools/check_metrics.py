"""`moetop analyze` against NumPy: every number of its answers recomputed from what `moetop export` and `moetop sql` write of the run.

usage: check_metrics.py --moetop BINARY [--by AXIS ...] [--metric NAMES] [--filter TERMS] [--threshold T] [--as FORM] [--null N]
       [--branch B] [--layer RANGES] [--top N] [--no-ci] RUN

Without --by every axis that the run has is asked for, without --metric every metric of the catalogue. Numbers agree when
|got - expected| <= 1e-6 |expected|; quantiles of more than 16,384 different values within 2^-10 of the value; means, spreads and p of a
null within 4 Monte Carlo errors of both sides. An answer must hold what is expected and nothing else. Formulas: `moetop docs metrics`.
Exit status 0: everything agrees; 2: something differs; 1: this tool does not know such a run.
"""
import sys

from check_metrics.command import main

if __name__ == "__main__":
    sys.exit(main(__doc__))

"""An independent recomputation of `moetop analyze`; see tools/check_metrics.py."""

"""Routers of the literature, re-implemented from their equations, each with inputs in which something was planted. `systems.py` is the table."""

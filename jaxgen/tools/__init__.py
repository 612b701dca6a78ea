"""Commands over a run directory; no numerics."""

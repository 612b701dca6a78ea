"""Commands over a run directory."""

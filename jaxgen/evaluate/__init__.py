"""Measuring: metrics over splits of the data."""

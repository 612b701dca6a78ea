"""Flax layers that models share."""

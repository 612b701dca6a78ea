"""Autoregressive models: each position of an example given those before it."""

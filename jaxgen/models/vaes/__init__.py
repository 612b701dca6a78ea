"""Variational autoencoders: one paper a file."""

"""Generators and discriminators, one paper a file."""

"""The algebra of bijectors."""

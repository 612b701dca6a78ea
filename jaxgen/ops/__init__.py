"""Pure mathematics: densities and accounting."""

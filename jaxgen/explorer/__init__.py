"""A run in the browser: sliders for what it has, one thread that draws, one page."""

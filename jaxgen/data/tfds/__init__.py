"""Data sets in the form of tfds: `prepared` reads and builds them, `source` finds one by name."""

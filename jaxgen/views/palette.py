"""The colours in which a layout is painted for a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.palette import colours
from jaxgen.pictures import swatches
from jaxgen.views.picture import Picture


def palette(run: Any) -> Picture:
    """Squares in the colours of the classes of a run's layout, eight a row, from class 0 on.

    A picture painted in these colours, without soft edges, is a layout for `run.translate`.

    Arrays: "colours", uint8 [classes, 3].

    Raises:
        ConfigError: for a run whose data have no layout.
    """
    field = run.spec.fields.get("layout")
    if field is None or field.kind != "layout":
        raise ConfigError(f"{run.spec.name} has no field layout: there is nothing to paint")
    table: np.ndarray = colours(field.values)
    return Picture({"colours": table}, lambda: swatches(len(table)))

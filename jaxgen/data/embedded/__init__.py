"""Data sets that need neither files nor a network.

A new one is one module here, with `NAMES` and `load(name, data_dir)`, which gives a `Dataset`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

MODULES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
EMBEDDED: dict[str, Any] = {name: module for module in MODULES for name in module.NAMES}

"""HTML whose text is escaped unless it is said to be markup."""

from __future__ import annotations

import html
import json
from typing import Any

VOID = ("img", "meta", "input", "br", "col")


class Markup(str):
    """Text that is HTML already."""


def h(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element: `h("td", "text", scope="row", class_="number")`.

    Args:
        name: of the element.
        *children: strings (escaped), `Markup` (not escaped), lists of both; None is left out.
        **attributes: `class_` and `for_` are "class" and "for", `data_x` is "data-x"; True gives
            an attribute without value, None and False none.
    """
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}{'' if value is True else _quoted(value)}"
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: Any) -> Markup:
    """Children as in `h`, without an element around them."""
    out = []
    for child in children:
        if isinstance(child, (list, tuple)):
            out.append(join(*child))
        elif child is not None:
            out.append(child if isinstance(child, Markup) else html.escape(str(child)))
    return Markup("".join(out))


def script_json(value: Any) -> Markup:
    """JSON for the inside of a <script type="application/json">: no "<" can end it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _quoted(value: Any) -> str:
    return f'="{html.escape(str(value))}"'

"""Runs tutorials and writes their pages: `python docs/tutorials/render.py flow vae`.

A tutorial is one script of cells, `# %% [markdown]` and `# %%`, which editors open as a notebook.
It runs in a new folder; its page has the cells, what each printed, and the pictures it saved.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence

HERE = pathlib.Path(__file__).resolve().parent
MARK = re.compile(r"^# %%( \[markdown\])?\n", re.M)
PRINTED = re.compile(r"```text\n.*?```\n\n", re.S)


def cells(script: str) -> list[tuple[bool, str]]:
    """(whether it is text, content) of each cell."""
    _, *parts = MARK.split(script)
    found = []
    for mark, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        if mark:
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        found.append((bool(mark), "\n".join(lines)))
    return found


def page(name: str, parts: Sequence[tuple[bool, str]], printed: Sequence[str]) -> str:
    """The page of a tutorial.

    Args:
        name: of the tutorial.
        parts: see `cells`.
        printed: of each cell.
    """
    out = []
    for (is_text, content), said in zip(parts, printed, strict=True):
        out.append(content if is_text else f"```python\n{content}\n```")
        out += [f"```text\n{said.rstrip()}\n```"] if said.strip() else []
    command = f"python docs/tutorials/render.py {name}"
    out.append(f"This page is what `{command}` made of [{name}.py]({name}.py).")
    return "\n\n".join(out) + "\n"


def executed(name: str, parts: Sequence[tuple[bool, str]]) -> list[str]:
    """What each cell prints, run in the current folder."""
    names, printed = {"__name__": "__main__"}, []
    for is_text, content in parts:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            if not is_text:
                exec(compile(content, f"{name}.py", "exec"), names)
        printed.append(out.getvalue())
    return printed


def render(name: str) -> None:
    """Runs a tutorial; writes its page and pictures beside it."""
    parts = cells((HERE / f"{name}.py").read_text())
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        printed = executed(name, parts)
        for picture in pathlib.Path().glob("*.png"):
            shutil.copy(picture, HERE / picture.name)
            print(f"{picture.name}: {os.path.getsize(picture):,} bytes")
    (HERE / f"{name}.md").write_text(page(name, parts, printed))
    print(f"{name}.md: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        render(name)

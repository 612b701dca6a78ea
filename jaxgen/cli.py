"""The command `jaxgen`; what it can do is in `jaxgen.verbs`."""

from __future__ import annotations

import sys

from jaxgen import progress
from jaxgen.boundary import guarded
from jaxgen.signals import interruptible
from jaxgen.tools.outputs import check_free
from jaxgen.tools.parser import parse
from jaxgen.verbs import FIRST, parser


def main(argv: list[str] | None = None) -> None:
    """Runs one command; see `boundary.guarded` for how it ends."""
    if argv is None:
        interruptible()
        argv = sys.argv[1:]
    if argv[:1] == ["train"]:
        from jaxgen.main import cli

        named = len(argv) > 1 and not argv[1].startswith("-")
        sys.argv = ["jaxgen.main", *([f"--config={argv[1]}"] if named else []), *argv[1 + named :]]
        cli()
        return
    guarded(lambda: _run(argv), unopened=2)


def _run(argv: list[str]) -> None:
    top = parser()
    if not argv:
        print(FIRST)
        return
    arguments, knobs = parse(top, argv)
    check_free(arguments, top.verbs[argv[0]])
    with progress.shown(f"jaxgen {argv[0]}"):
        from jaxgen.platform import set_defaults

        set_defaults()
        arguments.command(arguments, knobs)


if __name__ == "__main__":
    main()

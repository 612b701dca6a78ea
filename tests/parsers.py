"""The verbs of `jaxgen` and their options, as they are found."""

import argparse

from jaxgen import cli
from jaxgen.tools.outputs import Output

VERBS = cli.parser().verbs
OPTIONS = [
    (verb, action)
    for verb, parser in VERBS.items()
    for action in parser._actions
    if action.option_strings and not isinstance(action, argparse._HelpAction)
]
FILES = [(v, a) for v, a in OPTIONS if isinstance(a.type, Output)]  # that are written


def named(pairs):
    return [f"{verb} {action.option_strings[0]}" for verb, action in pairs]


def typed(verb, *options, given="nowhere"):
    """A command line with something in the place of every positional argument."""
    parser = VERBS[verb]
    needs = [a for a in parser._actions if a.required and a.nargs != "*"]
    words = [a.choices[0] if a.choices else str(given) for a in needs if not a.option_strings]
    words += [f"{a.option_strings[0]}={given}" for a in needs if a.option_strings]
    return [verb, *words, *map(str, options)]

"""What the parts of a game remember between moves, without a gradient: an entry of `State.vars`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgen.types import State, Vars

MEMORY = "game"  # the entry
Memory = Mapping[str, Any]  # name of a part -> what it remembers


def recalled(state: State) -> Memory:
    """What is remembered; nothing where no part does."""
    return state.vars.get(MEMORY, {})


def remembering(variables: Vars, memory: Memory) -> Vars:
    """The vars with what is remembered now."""
    return variables | ({MEMORY: memory} if memory else {})

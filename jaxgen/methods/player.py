"""A player: a network under the name of its params and vars, the unit of which games are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.types import PyTree, State

FIXED = "constants"  # the collection that training does not move


@dataclasses.dataclass(frozen=True)
class Player:
    """A Flax module whose params are `state.params[name]`, its other variables `state.vars[name]`.

    Methods take the module's arguments and options, and those of Flax's `apply`, as `rngs`.

    Attributes:
        name: of the player, as turns, optimisers and averages have it.
        module: the network.
    """

    name: str
    module: Any

    def init(self, rngs: Any, *args: Any, **options: Any) -> tuple[PyTree, PyTree]:
        """The params, and the other collections."""
        _, params, variables = self.init_with_output(rngs, *args, **options)
        return params, variables

    def init_with_output(self, rngs: Any, *args: Any, **options: Any) -> tuple[Any, PyTree, PyTree]:
        """The output, the params, and the other collections."""
        out, made = self.module.init_with_output(rngs, *args, **options)
        made = dict(made)
        return out, made.pop("params", {}), made

    def apply(self, state: State, *args: Any, **options: Any) -> Any:
        """The output as in evaluation: nothing moves."""
        variables = {"params": state.params[self.name], **state.vars[self.name]}
        return self.module.apply(variables, *args, **options)

    def train(self, state: State, *args: Any, **options: Any) -> tuple[Any, State]:
        """The output as in training, and the state with what moved on the way."""
        out, state, _ = self.noting(state, (), *args, **options)
        return out, state

    def noting(
        self, state: State, notes: Sequence[str], *args: Any, **options: Any
    ) -> tuple[Any, State, PyTree]:
        """As `train`, and what the network noted in the collections `notes`, name -> tree."""
        mutable = [*self.moving(state), *notes]
        out, moved = self.apply(state, *args, mutable=mutable, **options)
        noted = {name: moved[name] for name in notes if name in moved}
        kept = {name: tree for name, tree in moved.items() if name not in notes}
        return out, self.moved(state, kept), noted

    def moving(self, state: State) -> list[str]:
        """Names of the collections that training moves."""
        return [name for name in state.vars[self.name] if name != FIXED]

    def moved(self, state: State, collections: Mapping[str, PyTree]) -> State:
        """The state with these collections of the player, and its others as they were."""
        own = {**state.vars[self.name], **collections}
        return state.replace(vars=state.vars | {self.name: own})

"""A trained run in Python: `run = jaxgen.load("runs/glow-digits"); run.sample(64, seed=0)`."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.config import ConfigError, build, check_sections
from jaxgen.evaluate.generate import check_knobs
from jaxgen.names import checked
from jaxgen.rundir import open_existing, read_json
from jaxgen.stored import check_contained, check_sizes
from jaxgen.train.assemble import state_target
from jaxgen.train.checkpoint import CheckpointError, Checkpoints
from jaxgen.train.log import say
from jaxgen.train.sharding import make_mesh
from jaxgen.types import DataSpec, Method, State

# where the data of a run are now -> option of `jaxgen.data.load`
PLACES = {"data": "name", "manual_dir": "manual_dir", "data_dir": "data_dir"}


class Run:
    """A run directory with its newest good checkpoint, averaged params where there are any.

    Attributes:
        config: the resolved config.
        spec: of the data.
        method: the modules and their objective.
        step: train steps done.
        state: restored and verified.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        step: int | str | None = None,
        allow: Iterable[str] = (),
    ):
        """Restores.

        Args:
            path: of the run directory.
            step: of the checkpoint; "best" takes the one with the best score, None the newest.
            allow: names of modules whose classes the run's config may name beside jaxgen's, and
                paths of folders into which links in the run may lead: see docs/security.md.

        Raises:
            ConfigError: when `path` is not a run directory, or names what is not allowed.
            CheckpointError: when there is no good checkpoint.
        """
        self.directory = open_existing(path)
        modules, folders = checked(allow)
        check_contained(self.directory.path, folders)
        self.config: dict[str, Any] = read_json(self.directory.config)
        check_sections(self.config)
        check_sizes(self.config["model"])
        self.spec: DataSpec = self.directory.spec()
        self.mesh = make_mesh()
        self.method: Method
        self.method, self.target = self._described(modules)
        if not self.directory.checkpoints.exists():
            raise CheckpointError(f"{self.directory.path} has no checkpoint yet")
        checkpoints = Checkpoints(self.directory.checkpoints, read_only=True, say=say)
        try:
            self.step, self.state = self._restore(checkpoints, step)
        finally:
            checkpoints.close()

    def _described(self, modules: Sequence[str]) -> tuple[Method, State]:
        """The method of the stored config, and what its state looks like."""
        try:
            return state_target(self.config, self.spec, self.mesh, modules)
        except ConfigError as error:
            raise ConfigError(f"{self.directory.config}: {error}") from error
        except Exception as error:  # of a network that is built of what a stranger wrote
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ConfigError(
                f"{self.directory.config} describes no model that can be built ({reason})"
            ) from error

    def _restore(self, checkpoints: Checkpoints, step: int | str | None) -> tuple[int, State]:
        if step == "best":
            step = checkpoints.best_step()
        if step is not None:
            return int(step), checkpoints.restore_step(int(step), self.target)[0]
        found = checkpoints.restore(self.target)
        if found is None:
            raise CheckpointError(f"{self.directory.path} has no whole checkpoint")
        return found[0], found[1]

    def __repr__(self) -> str:
        return f"Run({str(self.directory.path)!r}, step={self.step})"

    def sample(self, num: int, seed: int = 0, **knobs: Any) -> np.ndarray:
        """Samples in the units of the data, [num, H, W, C] or [num, D].

        Args:
            num: how many.
            seed: of the latents.
            **knobs: of the method, as `temperature=0.7`.

        Raises:
            ConfigError: for a knob that the method does not have, or a value that it refuses.
        """
        check_knobs(self.method, knobs)
        sample = functools.partial(self.method.sample, num=num)
        draw = jax.jit(lambda state, rng: sample(state, rng, **knobs))
        try:
            return np.asarray(draw(self.state.averaged(), jax.random.key(seed)))
        except (TypeError, ValueError) as error:  # of the method, about its knobs
            if not knobs:
                raise
            given = ", ".join(f"{k}={v!r}" for k, v in knobs.items())
            raise ConfigError(f"{given}: {str(error).splitlines()[0]}") from error

    def encode(self, x: Any, seed: int = 0, **options: Any) -> Any:
        """Latents of data [B, ...], as a pytree; `seed` is that of the noise, if any is added."""
        return self._call("encode", np.asarray(x), jax.random.key(seed), **options)

    def decode(self, z: Any, **options: Any) -> np.ndarray:
        """Data of latents."""
        return self._call("decode", z, **options)

    def reconstruct(self, x: Any, seed: int = 0, **options: Any) -> np.ndarray:
        """The expected data given latents of x, in the units of the data."""
        return self._call("reconstruct", np.asarray(x), jax.random.key(seed), **options)

    def log_prob(self, x: Any, seed: int = 0, **options: Any) -> np.ndarray:
        """[B], in nats."""
        return self._call("log_prob", np.asarray(x), jax.random.key(seed), **options)

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        function = getattr(self.method, name, None)
        if function is None:
            raise ConfigError(f"{type(self.method).__name__} has no {name}")
        out = jax.jit(functools.partial(function, **options))(self.state.averaged(), *args)
        return jax.tree.map(np.asarray, out)

    def evaluate(self, **options: Any) -> dict[str, Any]:
        """`split/metric` -> Estimate, on the run's own data.

        Args:
            **options: `data`, `manual_dir`, `data_dir` where the data have moved;
                `importance_samples` of the dequantisation noise, where the method has them; the
                rest replaces fields of the run's config section `evaluate`.

        Raises:
            ConfigError: when the data are not those of the run.
        """
        return self.observer(**options).evaluate(self.state)

    def per_example(self, split: str = "test", **options: Any) -> dict[str, np.ndarray]:
        """Every metric of every example, [N] each, with "index" and "label" (where there are any).

        Args:
            split: of the run's own data.
            **options: as of `evaluate`.

        Raises:
            ConfigError: as `evaluate` does.
        """
        return self.observer(**options | {"splits": (split,)}).per_example(self.state, split)

    def measure(self, metrics: Any = "all", **options: Any) -> dict[str, Any]:
        """Metrics of samples against the run's data, kept in `evaluation/` of the run.

        Args:
            metrics: families, as "fd,pr" or ("fd", "pr"); see `evaluate.suite`.
            **options: fields of `tools.measure.Request`, as num=, seed=, extractor=, knobs=.

        Returns:
            "source", "measurements", "not_available" (family -> why) and "file".

        Raises:
            ConfigError: for an unknown metric, or one that the run cannot give.
        """
        from jaxgen.tools.measure import Request, measure_run

        return measure_run(self, build(Request, "measure", metrics=metrics, **options))

    def observer(self, **options: Any) -> Any:
        """What evaluates, compiled once for all its splits; options as of `evaluate`."""
        from jaxgen.train.observe import Observer

        places = {k: v for k, v in options.items() if k in PLACES}
        fields = {k: v for k, v in options.items() if k not in places}
        method, draws = self.method, fields.pop("importance_samples", None)
        if draws is not None:
            if not hasattr(method, "importance_samples"):
                raise ConfigError(f"{type(method).__name__} has no importance-weighted estimate")
            try:
                method = dataclasses.replace(method, importance_samples=draws)
            except ValueError as error:
                raise ConfigError(str(error)) from error
        section = self.config["evaluate"] | fields
        return Observer(method, self.mesh, self.target, self.dataset(**places), **section)

    def calibrate(self, num: int = 500, draws: int = 99, seed: int = 0, **places: Any) -> Any:
        """Ranks the parameters of test examples among draws of their posteriors.

        Args:
            num: test examples, evenly spaced.
            draws: from each posterior.
            seed: of the draws.
            **places: `data`, `data_dir` where the data have moved.

        Returns:
            A `Calibration`.

        Raises:
            ConfigError: for a run that infers no parameters, or more examples than there are.
        """
        from jaxgen.evaluate.calibration import calibrate

        test = self.dataset(**places).splits["test"]
        if not 0 < num <= len(test):
            raise ConfigError(f"--num={num}, expected 1 to {len(test)}, the test examples")
        x = test.take(np.arange(num, dtype=np.int64) * len(test) // num)["x"]
        return calibrate(self.method, self.state.averaged(), x, jax.random.key(seed), draws)

    def dataset(self, **places: Any) -> Any:
        """The run's own data.

        Args:
            **places: where the data have moved `data`, the folder or file; `manual_dir`;
                `data_dir`.

        Raises:
            ConfigError: when they are not those of the run.
        """
        from jaxgen.data.named import load_as

        places = {PLACES[key]: value for key, value in places.items()}
        known = read_json(self.directory.manifest)["data"]
        return build(load_as(known), "data", **self.config["data"] | places)

"""A trained run in Python: `run = jaxgen.load("runs/glow-digits"); run.sample(64, seed=0)`."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.calls import Calls, on_one_device
from jaxgen.coding.of_run import Files
from jaxgen.config import ConfigError, build, check_sections, unknown
from jaxgen.data.loader import evenly
from jaxgen.evaluate.validation import check_count
from jaxgen.measure import Request, measure_run
from jaxgen.methods.guided import Guided
from jaxgen.names import checked
from jaxgen.progress import stage
from jaxgen.rundir import check_step, open_existing, read_json
from jaxgen.sharding import make_mesh
from jaxgen.stored import check_contained, check_sizes, data_options
from jaxgen.train import frozen
from jaxgen.train.assemble import state_target
from jaxgen.train.derived import derived
from jaxgen.train.log import say
from jaxgen.train.restored import restored, steps
from jaxgen.train.weights_file import target_of
from jaxgen.types import FROZEN, DataSpec, Method, State
from jaxgen.views.of_run import Views

OBSERVERS = 4  # that are kept, with their data
# where the data of a run are now -> option of `jaxgen.data.load`
PLACES = {"data": "name", "manual_dir": "manual_dir", "data_dir": "data_dir"}


class Run(Views, Files):
    """A run directory with its newest good checkpoint, averaged params where there are any.

    Attributes:
        config: the resolved config.
        spec: of the data.
        method: the modules and their objective.
        step: train steps done.
        state: restored and verified, with the averages alone that were chosen.
        averages: player -> name of its average that stands for its params.
        guide: {"classifier": its run and digest} where one guides, else nothing.
    """

    guide: Mapping[str, str] = {}

    def __init__(
        self,
        path: str | os.PathLike[str],
        step: int | str | None = None,
        allow: Iterable[str] = (),
        average: str | None = None,
    ):
        """Restores.

        Args:
            path: of the run directory.
            step: of the checkpoint; "best" takes the one with the best score, None the newest.
            allow: names of modules whose classes the run's config may name beside jaxgen's, and
                paths of folders into which links in the run may lead: see docs/security.md.
            average: the name of the averaged params to take, "none" for those that are trained;
                by default those named as their player: see `State.averages`.

        Raises:
            ConfigError: when `path` is not a run directory, or names what is not allowed, or
                `step` is no step, or `average` no average.
            CheckpointError: when there is no good checkpoint.
        """
        step = check_step(step)
        if not isinstance(path, str | os.PathLike):
            raise ConfigError(f"run={path!r}, expected the path of a run directory")
        self.directory = open_existing(path)
        modules, folders = checked(allow)
        self._allow = modules
        check_contained(self.directory.path, folders)
        self.config: dict[str, Any] = read_json(self.directory.config)
        check_sections(self.config)
        check_sizes(self.config["model"])
        self.spec: DataSpec = frozen.spec_of(self.directory)
        self.mesh = make_mesh()
        self.method: Method
        self.method, self.target = self._described(modules)
        self.averages = self.target.averages(average)
        held = functools.partial(frozen.variables, self._stages, self.mesh)
        with stage(f"restoring {self.directory.path.name}"):
            self.step, self.state, taken = restored(self.directory, self.target, step, held)
        self.averages = self.averages or taken
        self._whole, self._average = self.target, average
        self.state, self.target = self.state.only(average), self.target.only(average)
        self._used: tuple[State, State] | None = None
        self._compiled: tuple[Method, Calls] | None = None
        self._observers: dict[str, Any] = {}

    def _described(self, modules: Sequence[str]) -> tuple[Method, State]:
        """The method of the stored config, and what its state looks like."""
        try:
            self._stages = frozen.within(self.directory, self.config, state_target, modules)
            method, target = state_target(self.config, self.spec, self.mesh, modules, self._stages)
            return method, target_of(target) if self.directory.weights.exists() else target
        except ConfigError as error:
            raise ConfigError(f"{self.directory.config}: {error}") from error
        except Exception as error:  # of a network that is built of what a stranger wrote
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ConfigError(
                f"{self.directory.config} describes no model that can be built ({reason})"
            ) from error

    def __repr__(self) -> str:
        return f"Run({str(self.directory.path)!r}, step={self.step})"

    def guided_by(self, classifier: str | os.PathLike[str]) -> Run:
        """This run, with samples that the classifier of another run guides.

        Args:
            classifier: "RUN", "RUN@STEP" or "RUN@best", of configs/adm_classifier.py.

        Raises:
            ConfigError: for a run that is not there, is no classifier of noised data, or was
                trained on other data or other noise.
        """
        wanted = frozen.Wanted.of("classifier", os.fspath(classifier))
        source = open_existing(wanted.run)
        step = frozen.chosen_step(source, wanted)
        stage = frozen.read(source, "classifier", step, state_target, self._allow)
        guided = copy.copy(self)
        guided.method = Guided(self.method, stage)
        guided.guide = {"classifier": f"{source.path.name}@{stage.digest[:12]}"}
        held = dict(self.state.vars.get(FROZEN, {})) | frozen.variables({"classifier": stage})
        guided.state = self.state.replace(vars=self.state.vars | {FROZEN: held})
        return guided

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints that there are, ascending; [] of a run that was packed."""
        return steps(self.directory)

    def at(self, step: int | str) -> Run:
        """This run with the weights of another checkpoint; what is compiled serves both.

        Args:
            step: of the checkpoint, or "best".

        Raises:
            ConfigError: when `step` is no step, or of a run that was packed.
            CheckpointError: when there is no such good checkpoint.
        """
        found, step = copy.copy(self), check_step(step)
        found._compiled = (self.method, self._calls)
        held = functools.partial(self.state.vars.get, FROZEN, {})
        found.step, state, _ = restored(self.directory, self._whole, step, held)
        found.state = state.only(self._average)
        return found

    def sample(self, num: int, seed: int = 0, **knobs: Any) -> np.ndarray:
        """Samples in the units of the data, [num, H, W, C] or [num, D].

        Sample i is a function of the seed, the knobs and i: `sample(4)` are the first four of
        `sample(64)`. Another seed, temperature or class compiles nothing.

        Args:
            num: how many.
            seed: of the latents, 0 to 2**32 - 1.
            **knobs: of the method, as `temperature=0.7`.

        Raises:
            ConfigError: for a knob that the method does not have, a value that it refuses, or
                more samples than memory holds.
        """
        return self._calls.sample(self._averaged, num, seed, knobs)

    def draws(self, num: int, seed: int = 0, **knobs: Any) -> Iterator[np.ndarray]:
        """The samples of `sample`, a chunk [B, ...] at a time, in constant memory.

        Raises:
            ConfigError: as `sample` does.
        """
        return self._calls.draws(self._averaged, num, seed, knobs)

    def encode(self, x: Any, seed: int = 0, **options: Any) -> Any:
        """Latents of data [B, ...], as a pytree; `seed` is that of the noise, if any is added.

        Example:
            >>> run = jaxgen.load("runs/nice-digits")
            >>> x = run.sample(3)
            >>> bool((run.decode(run.encode(x)) == x).all())
            True

        Raises:
            ConfigError: for arrays that are no examples of the run's data, as all calls do.
        """
        return self._calls.of_data("encode", self._averaged, x, seed, options)

    def decode(self, z: Any, **options: Any) -> Any:
        """Data of latents [B, ...], which are as `encode` gives them."""
        return self._calls.decode(self._averaged, z, options)

    def reconstruct(self, x: Any, seed: int = 0, **options: Any) -> Any:
        """The expected data given latents of x, in the units of the data."""
        return self._calls.of_data("reconstruct", self._averaged, x, seed, options)

    def complete(self, x: Any, known: Any, seed: int = 0, **options: Any) -> Any:
        """x [B, ...] with what is not known drawn; `known` is bool, as x or an example of it."""
        return self._calls.complete(self._averaged, x, known, seed, options)

    def translate(
        self,
        x: Any,
        to: str | None = None,
        seed: int = 0,
        tile: int | None = None,
        overlap: int | None = None,
        **options: Any,
    ) -> Any:
        """What the field x [B, ...] is in another domain, in its units.

        Args:
            x: of the field that is translated, in its units and of any size that the network
                takes; or a mapping, field -> array.
            to: name of the direction, as "b"; where there is one alone, it is that.
            seed: of what is drawn.
            tile: side in pixels of the tiles that pictures are cut into; None for none.
            overlap: pixels that two tiles share, where one fades into the other; None for 32.
            **options: of the method.

        Raises:
            ConfigError: for a method that does not translate, or arrays that do not fit.
        """
        return self._calls.translate(self._averaged, x, to, seed, options, tile, overlap)

    def log_prob(self, x: Any, seed: int = 0, **options: Any) -> Any:
        """[B], in nats.

        Of continuous data it can be differentiated: under `jax.grad` and other transformations
        the result is a JAX array, and values are not checked.
        """
        return self._calls.of_data("log_prob", self._averaged, x, seed, options)

    @property
    def _averaged(self) -> State:
        """What is sampled and evaluated, on one device, made once for each state."""
        if self._used is None or self._used[0] is not self.state:
            self._used = (self.state, on_one_device(self.state))
        return self._used[1]

    @property
    def _calls(self) -> Calls:
        """Compiled functions of the method."""
        if self._compiled is None or self._compiled[0] is not self.method:
            calls = Calls(self.method, self.spec, self.directory.path, self.mesh)
            self._compiled = (self.method, calls)
        return self._compiled[1]

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
        if not isinstance(split, str):
            raise ConfigError(f"split={split!r}, expected the name of one, as 'test'")
        return self.observer(**options).per_example(self.state, split)

    def measure(self, metrics: Any = "all", **options: Any) -> dict[str, Any]:
        """Metrics of samples against the run's data, kept in `evaluation/` of the run.

        Args:
            metrics: names, as "fd,pr" or ("fd", "pr"); see `evaluate.metrics`.
            **options: fields of `jaxgen.measure.Request`, as num=, seed=, extractor=, knobs=.

        Returns:
            "source", "measurements", "not_available" (metric -> why) and "file".

        Raises:
            ConfigError: for an unknown metric, or one that the run cannot give.
        """
        return measure_run(self, build(Request, "measure", metrics=metrics, **options))

    def observer(self, **options: Any) -> Any:
        """What evaluates, compiled once for all its splits; options as of `evaluate`.

        The last few are kept: the same options again compile nothing.
        """
        key = repr(sorted(options.items()))
        if key not in self._observers or self._observers[key][0] is not self.method:
            while len(self._observers) >= OBSERVERS:
                self._observers.pop(next(iter(self._observers)))
            self._observers[key] = (self.method, self._observer(**options))
        return self._observers[key][1]

    def _observer(self, **options: Any) -> Any:
        from jaxgen.train.observe import Observer, weighted

        places = {k: v for k, v in options.items() if k in PLACES}
        fields = {k: v for k, v in options.items() if k not in places}
        method = weighted(self.method, fields.pop("importance_samples", None))
        own = {"method": method, "mesh": self.mesh, "target": self.target}
        for name in fields:
            if name in (*own, "dataset"):
                raise ConfigError(f"{name} is the run's own: it is no option of evaluate")
        section = self.config["evaluate"] | fields | own
        return build(Observer, "evaluate", dataset=self.dataset(**places), **section)

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
        draws, test = check_count(draws, "draws"), self.dataset(**places).splits["test"]
        x = test.take(evenly(len(test), check_count(num, "num", len(test))))["x"]
        return self._calls.calibrate(self._averaged, x, draws, seed)

    def dataset(self, **places: Any) -> Any:
        """The run's own data.

        Args:
            **places: where the data have moved `data`, the folder or file; `manual_dir`;
                `data_dir`.

        Raises:
            ConfigError: when they are not those of the run.
        """
        from jaxgen.data import kept
        from jaxgen.data.load import load_as

        for key in places:
            if key not in PLACES:
                raise ConfigError(unknown("place of data", key, PLACES))
        places = {PLACES[key]: value for key, value in places.items()}
        places = kept.place(self.directory.path, self.config["data"]) | places
        known = read_json(self.directory.manifest)["data"]
        if "name" not in known.get("fingerprint", {}):
            raise ConfigError(
                f"{self.directory.manifest} names no data: the run has none of its own"
            )
        options, shown = data_options(self.config["data"], places)
        if shown:
            print(f"the run's config names its data: {', '.join(shown)}", file=sys.stderr)
        with stage("reading the data"):
            dataset = build(load_as(known, self._allow), "data", **options | places)
        known = frozen.gives(self.directory)
        return derived(dataset, self._stages, self.config, known, say)

"""How well a run tells other data from its own: `jaxgen ood`."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

from jaxgen.abilities import Bounds, Density, given
from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate import outliers
from jaxgen.evaluate.outliers import Told
from jaxgen.evaluate.sampling import filled
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.views.examples import read

TRANSFORM = "transform:"
AGAINST = tuple(f"{TRANSFORM}{name}" for name in outliers.TRANSFORMS)
CONTROLS = ("test", "train")
NUM = 1000  # examples of a set, at most
CHUNK = 32  # examples of a call of what is compiled here
WARNING = (
    "a likelihood is no measure of being like the data: it is higher where pictures are simple "
    "(Nalisnick et al. 2019); trust no score on data that were not tried here"
)


@dataclasses.dataclass(frozen=True)
class Outliers:
    """What `ood` found.

    Attributes:
        told: set -> score -> how well the score tells it from test examples. Two sets are controls:
            "test", the held-out half of them, at one half, and "train": what is far below one half
            was learnt by heart.
        scores: set -> score -> [N], larger for what is less like the data.
        p_values: set -> score -> [N], among the held-out test examples; of "test", of the others.
        thresholds: score -> what `alarms` of the data are above; {} unless it was asked for.
        warnings: of what went wrong, a line each.
    """

    told: dict[str, dict[str, Told]]
    scores: dict[str, dict[str, np.ndarray]]
    p_values: dict[str, dict[str, np.ndarray]]
    thresholds: dict[str, float]
    warnings: tuple[str, ...]

    def report(self) -> dict[str, Any]:
        """As JSON."""
        sets = {
            name: {
                score: {
                    **{k: dataclasses.asdict(v) for k, v in one._asdict().items()},
                    "p_below_0.05": float(np.mean(self.p_values[name][score] <= 0.05)),
                }
                for score, one in of.items()
            }
            for name, of in self.told.items()
        }
        return {"sets": sets, "thresholds": self.thresholds, "warnings": list(self.warnings)}


def ood(
    run: Any,
    against: str | Sequence[str] = AGAINST,
    background: Any = None,
    num: int = NUM,
    draws: int = 4,
    seed: int = 0,
    gradient: bool = False,
    llr: str | int | Sequence[int] = "",
    checkpoints: int | str | None = None,
    alarms: float | None = None,
    fit: str | None = None,
    **places: Any,
) -> Outliers:
    """Scores of other data, and how well they tell it from test examples.

    The test examples are cut in halves by turns: one calibrates p-values and thresholds, the other
    is what the sets are told from. Scores, of -log p in nats where that is exact, else of its
    bound, the mean of `draws`:

    - "log_p": -log p.
    - "typicality": the distance of log p from its mean over train examples, either way (Nalisnick
      et al. 2019, Detecting out-of-distribution inputs to deep generative models using typicality,
      of one example).
    - "complexity": -log p less the bits of the example as a PNG or WebP (Serra et al. 2020), of
      images.
    - "ratio": log p of the background less log p (Ren et al. 2019), with `background`.
    - "llr_K": of several groups of latents, the bound of all less that whose last K groups are of
      the prior given those before: LLR^{>K} = L - L^{>K} (Havtorn et al. 2021, Hierarchical VAEs
      know what they don't know), with `llr`. See `abilities.Bounds`. Their code takes the mode of
      that prior, and subtracts the divergences of all groups from both: we follow the paper.
    - "waic": the variance of log p over `checkpoints` less its mean (Choi et al. 2018, WAIC, but
      why?). They train each member of the ensemble on its own; checkpoints of one training are
      nearer to each other.
    - "gradient": the norm of the gradient of log p by the parameters.

    Args:
        run: what `jaxgen.load` gives.
        against: sets: "transform:NAME" of test examples, names of `outliers.TRANSFORMS`; others are
            files or folders of pictures. One, or several.
        background: a run, or its path, on noised data of the same kind: `data.resampled`.
        num: examples of each set, at most.
        draws: of a bound.
        seed: of the draws, transforms and bootstrap.
        gradient: find that score, too.
        llr: K of those scores, from 1 to one below the number of groups: "all", "1,2", or numbers.
        checkpoints: of that score: "all", or so many of the last ones, 2 or more.
        alarms: share of the data that thresholds are to flag.
        fit: of pictures, see `views.examples.read`.
        **places: of the data.

    Raises:
        ConfigError: for a run without likelihood, without groups or without checkpoints where
            these are asked for, sets that are none of its data, or thresholds that the held-out
            examples do not give.
    """
    names = [against] if isinstance(against, str) else list(against)
    num, draws, seed = check_count(num, "num"), check_count(draws, "draws"), check_seed(seed)
    if not names:
        raise ConfigError("against names no set: give transform:invert, or a folder")
    scorer = _Scorer(run, background, draws, seed, gradient, llr, checkpoints)
    splits = run.dataset(**places).splits
    test = splits["test"].take(evenly(len(splits["test"]), 2 * num))["x"]
    train = splits["train"].take(evenly(len(splits["train"]), num))["x"]
    held_out, inside = test[::2], test[1::2]
    if len(held_out) < outliers.FEWEST:
        raise ConfigError(
            f"{run.spec.name} has {len(test)} test examples: without {2 * outliers.FEWEST} held "
            "out nothing can be said of scores, and no threshold advised"
        )
    sets = {"train": train} | {name: _set(run, name, inside, seed, fit)[:num] for name in names}
    of_train = scorer.plain(train)
    middle = float(of_train["log_p"].mean())
    known, own = (scorer.all(x, middle) for x in (held_out, inside))
    found = {name: scorer.all(x, middle) for name, x in sets.items()}
    told = {
        name: {k: outliers.told(own[k], v, seed) for k, v in of.items()}
        for name, of in ({"test": known} | found).items()
    }
    thresholds = {}
    if alarms is not None:
        thresholds = {k: outliers.threshold(v, alarms) for k, v in known.items()}
    p_values = {
        name: {k: outliers.p_values(known[k], v) for k, v in of.items()}
        for name, of in ({"test": own} | found).items()
    }
    return Outliers(told, {"test": own} | found, p_values, thresholds, tuple(_warnings(told)))


def _warnings(told: dict[str, dict[str, Told]]) -> list[str]:
    """Where a score ranks outliers before the data, and what is always so."""
    wrong = [
        f"{name}: {score} ranks it as more like the data than test examples are (AUROC "
        f"{of[score].auroc.value:.2f})"
        for name, of in told.items()
        for score in of
        if name not in CONTROLS and (of[score].auroc.high or 0.0) < 0.5
    ]
    return [WARNING, *wrong]


def _set(run: Any, name: str, x: np.ndarray, seed: int, fit: str | None) -> np.ndarray:
    """Examples of a set that `against` names."""
    if not name.startswith(TRANSFORM):
        return read(run.directory, [name], fit).x
    if run.spec.levels is None:
        raise ConfigError(f"{name} is of grey levels, and {run.spec.name} has none")
    return outliers.transformed(name.removeprefix(TRANSFORM), x, run.spec.levels, seed)


class _Scorer:
    """Scores of examples under a run."""

    def __init__(
        self,
        run: Any,
        background: Any,
        draws: int,
        seed: int,
        gradient: bool,
        llr: str | int | Sequence[int],
        checkpoints: int | str | None,
    ):
        """Raises ConfigError for runs without likelihood, or of unlike data."""
        if isinstance(background, str | os.PathLike):
            background = type(run)(background)
        for one in (run, background):
            if one is not None:
                _check(one)
        if background is not None and background.spec.x != run.spec.x:
            raise ConfigError(
                f"{background.directory.path} is of other data than {run.directory.path}"
            )
        self._run, self._background, self._draws, self._seed = run, background, draws, seed
        self._gradient, self._skipped = gradient, _skipped(run, llr)
        self._members = _members(run, checkpoints)

    def _log_p(self, run: Any, x: np.ndarray) -> np.ndarray:
        values = [run.log_prob(x, seed=self._seed + i) for i in range(self._draws)]
        return np.mean(np.asarray(values, np.float64), axis=0)

    def plain(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """log p, [N] in nats."""
        return {"log_p": self._log_p(self._run, x)}

    def all(self, x: np.ndarray, middle: float) -> dict[str, np.ndarray]:
        """Score -> [N], larger for what is less like the data; `middle` is of typicality."""
        log_p = self._log_p(self._run, x)
        found = {"log_p": -log_p, "typicality": np.abs(log_p - middle)}
        if self._run.spec.x.kind == "image" and x.dtype == np.uint8 and x.shape[-1] in (1, 3):
            found["complexity"] = -log_p / math.log(2) - outliers.complexity(x)
        if self._background is not None:
            found["ratio"] = self._log_p(self._background, x) - log_p
        if self._skipped:
            found |= self._ratios(x)
        if self._members:
            values = np.stack([self._log_p(member, x) for member in self._members])
            found["waic"] = values.var(axis=0) - values.mean(axis=0)
        if self._gradient:
            found["gradient"] = _in_chunks(self._norms, x, self._seed)
        return found

    def _ratios(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """LLR^{>K}, [N] in nats each, of the mean bounds of `draws` draws."""
        draws = [_in_chunks(self._bounds, x, self._seed + i) for i in range(self._draws)]
        whole, *fewer = np.mean(np.asarray(draws, np.float64), axis=0).T
        return {f"llr_{k}": whole - less for k, less in zip(self._skipped, fewer, strict=True)}

    @functools.cached_property
    def _bounds(self) -> Callable[..., jax.Array]:
        """Of examples [B, ...] the bound of all groups, then those of fewer: [B, 1 + skipped]."""
        state, count = self._run.state.averaged(), _groups(self._run)
        kept = [count - k for k in (0, *self._skipped)]
        call = functools.partial(self._run.method.bounds, groups=kept)
        compiled = jax.jit(lambda state, rows, key: call(state, rows, key))
        return functools.partial(compiled, state)

    @functools.cached_property
    def _norms(self) -> Callable[..., jax.Array]:
        """Of examples [B, ...] norms of gradients of log p by the parameters, [B]."""
        method, state = self._run.method, self._run.state.averaged()

        def norm(params: Any, one: jax.Array, key: jax.Array) -> jax.Array:
            def log_p(own: Any) -> jax.Array:
                return method.log_prob(state.replace(params=own), one[None], key)[0]

            return optax.tree.norm(jax.grad(log_p)(params))

        @jax.jit
        def norms(params: Any, rows: jax.Array, key: jax.Array) -> jax.Array:
            keys = jax.random.split(key, len(rows))
            return jax.lax.map(lambda row: norm(params, *row), (rows, keys))

        return functools.partial(norms, state.params)


def _in_chunks(call: Callable[..., jax.Array], x: np.ndarray, seed: int) -> np.ndarray:
    """[N, ...] of (examples [CHUNK, ...], key) -> [CHUNK, ...]."""
    parts = []
    for start in range(0, len(x), CHUNK):
        rows = filled(x, start, CHUNK)
        key = jax.random.fold_in(jax.random.key(seed), start)
        parts.append(np.asarray(call(rows, key))[: len(x) - start])
    return np.concatenate(parts)


def _groups(run: Any) -> int:
    """Groups of latents, 0 of a method without bounds of fewer."""
    method, state = run.method, run.state.averaged()
    if not isinstance(method, Bounds):
        return 0
    call = functools.partial(method.descend, num=1, temperatures=(1.0,))
    groups, _ = jax.eval_shape(lambda s, key: call(s, (), key), state, jax.random.key(0))
    return len(groups)


def _skipped(run: Any, llr: str | int | Sequence[int]) -> list[int]:
    """Numbers of groups that `llr` asks to be of the prior.

    Raises:
        ConfigError: for numbers that are none, or a method without several groups.
    """
    if isinstance(llr, str) and not llr:
        return []
    if (count := _groups(run)) < 2:
        raise ConfigError(
            f"{run.directory.path}: {type(run.method).__name__} has no groups of latents above "
            "each other, and llr is of their bounds: leave it out"
        )
    if llr == "all":
        return list(range(1, count))
    parts = llr.split(",") if isinstance(llr, str) else [llr] if isinstance(llr, int) else llr
    known = {str(k): k for k in range(1, count)}
    if unknown := [part for part in parts if str(part).strip() not in known]:
        raise ConfigError(
            f"llr={unknown[0]}: expected all, or numbers from 1 to {count - 1}, of groups that are "
            f"left to the prior; this model has {count}"
        )
    return sorted({known[str(part).strip()] for part in parts})


def _members(run: Any, checkpoints: int | str | None) -> list[Any]:
    """The run at each of its checkpoints, or the last of them; [] for None.

    Raises:
        ConfigError: for fewer than two, or more than there are.
    """
    if checkpoints is None:
        return []
    steps = run.steps
    least = len(steps) if checkpoints == "all" else checkpoints
    if isinstance(least, bool) or not isinstance(least, int) or least < 2 or least > len(steps):
        raise ConfigError(
            f"checkpoints={checkpoints}: expected all, or 2 or more of the last; "
            f"{run.directory.path} has {steps or 'none'}: train with "
            "--config.checkpoint.keep_last=5"
        )
    return [run.at(step) for step in steps[-least:]]


def _check(run: Any) -> None:
    """Raises ConfigError for a run that says no log-probability of x alone."""
    if not isinstance(run.method, Density):
        raise ConfigError(
            f"{run.directory.path}: {type(run.method).__name__} has no likelihood, and scores are "
            "of one"
        )
    if given(run.method):
        raise ConfigError(
            f"{run.directory.path} is given {', '.join(given(run.method))}, which other data have "
            "none of: train without (config.method.given)"
        )

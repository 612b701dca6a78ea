"""Configs: argument strings, strict building.

A config is values only. Each of its sections is consumed by exactly one `build`, so a name that
nothing reads is an error that says which name was probably meant.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jaxgen.errors import ConfigError
from jaxgen.values import check_finite, check_value, check_values

SECTIONS = ("model", "method", "data", "optim", "ema", "mesh", "train", "checkpoint", "evaluate")
OPTIONAL = ("frozen",)  # sections that most configs do without
MOST_NAMED = 100  # of the known names that a message lists
RENAMED = {"method.conditional": "method.given=label"}  # of version 0.1, to what it is now


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """An error message for a misspelt name, with the nearest valid one."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else ""
    more = f", ... {len(known):,} in all" if len(known) > MOST_NAMED else ""
    return f"unknown {what} {name!r}{hint} (known: {', '.join(known[:MOST_NAMED]) or 'none'}{more})"


def parse_arg(arg: str | None, **defaults: Any) -> Any:
    """Values from the part of `--config=file.py:ARG` behind the colon.

    `"cifar10,tiny,levels=3"` sets the first entry of `defaults` to cifar10, the boolean `tiny`
    to True and `levels` to 3; each value takes the type of its default.

    Returns:
        An object with one attribute per default.

    Example:
        >>> arg = parse_arg("cifar10,tiny", data="digits", tiny=False, levels=2)
        >>> arg.data, arg.tiny, arg.levels
        ('cifar10', True, 2)

    Raises:
        ConfigError: for a name that is not in `defaults` or a value of another type.
    """
    import ml_collections

    out = dict(defaults)
    first, *others = defaults
    for i, part in enumerate(filter(None, (arg or "").split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            flag = isinstance(defaults.get(key), bool)
            key, value = (key, "true") if flag else (first, key)
            if i and not flag:
                raise ConfigError(unknown("config argument", part, others))
        if key not in defaults:
            raise ConfigError(unknown("config argument", key, defaults))
        kind = type(defaults[key])
        try:
            out[key] = (
                {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
            )
        except (KeyError, ValueError):
            raise ConfigError(
                f"config argument {key}={value!r}: expected {kind.__name__}"
            ) from None
    return ml_collections.ConfigDict(out)


def common(data: str) -> Any:
    """A ConfigDict of what most configs share: seed, data, ema, mesh, train, checkpoint, evaluate.

    A config adds `model`, `method` and `optim`, and changes what it needs otherwise.

    Args:
        data: name of the data set.
    """
    from ml_collections import ConfigDict, config_dict

    c = ConfigDict()
    c.seed = 0
    c.data = _data(data)
    c.ema = dict()
    c.mesh = dict(data=-1, fsdp=1)
    c.train = dict(
        steps=4000,
        batch_size=64,
        accum=1,
        steps_per_dispatch=1,
        log_every_steps=100,
        save_every_steps=1000,
        save_every_minutes=0.0,
        on_nan="stop",
        max_rollbacks=3,
    )
    c.checkpoint = dict(keep_last=2, keep_best=True)
    c.evaluate = dict(
        every_steps=500,
        batch_size=256,
        splits=("train", "test"),
        max_examples=config_dict.placeholder(int),
        draws=1,
        best="test/bpd",
        sample_every_steps=500,
        num_samples=64,
        sample=dict(temperature=1.0),
        metrics="",
        metrics_every_steps=0,
        metrics_num=1000,
        metrics_extractor="",
        metrics_budget=0.1,
    )
    return c


def _data(name: str) -> dict[str, Any]:
    """The section `data`."""
    from ml_collections import config_dict

    return dict(
        name=name,
        manual_dir=config_dict.placeholder(str),
        data_dir=config_dict.placeholder(str),
        download=False,
        size=config_dict.placeholder(tuple),
        fit="none",
        mode=config_dict.placeholder(str),
        binarize="none",
        resampled=0.0,
        columns=config_dict.placeholder(str),
        context=config_dict.placeholder(str),
        label=config_dict.placeholder(str),
        standardize=config_dict.placeholder(bool),
        range=config_dict.placeholder(tuple),
        flip=False,
        shift=0,
        words=config_dict.placeholder(int),
        least_count=config_dict.placeholder(int),
        sample_rate=config_dict.placeholder(int),
        samples=config_dict.placeholder(int),
        test_fraction=0.1,
        in_memory_mb=512.0,
        threads=2,
        workers=0,
    )


def preset(name: str, presets: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The preset called `name`.

    Raises:
        ConfigError: naming the nearest preset.
    """
    if name not in presets:
        raise ConfigError(unknown("preset", name, presets))
    return presets[name]


def build(target: Callable[..., Any], where: str = "", /, **options: Any) -> Any:
    """`target(**options)`, with one clear line for a misspelt or missing option.

    Args:
        target: a class or function.
        where: the config section that the options come from, for the message.
        **options: its arguments.

    Raises:
        ConfigError: for an option that `target` does not take, or one that it misses.
    """
    where = where or getattr(target, "__name__", str(target))
    check_options(target, where, options)
    try:
        return target(**options)
    except ConfigError:
        raise
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"config.{where}: {error}") from error


def check_options(
    target: Callable[..., Any], where: str, options: Mapping[str, Any], given: Iterable[str] = ()
) -> None:
    """Refuses options that `target` does not take, misses, or takes with another type or range.

    Args:
        target: a class or function.
        where: the config section that the options come from, for the message.
        options: name -> value.
        given: names that the rest of the config gives.

    Raises:
        ConfigError: naming the first.
    """
    parameters = dict(inspect.signature(target).parameters)
    if "parent" in parameters:  # a Flax module: these two fields are Flax's own
        del parameters["parent"], parameters["name"]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key in options:
        if key in given:
            raise ConfigError(f"config.{where}.{key} is given by the rest of the config: omit it")
        if key not in parameters and f"{where}.{key}" in RENAMED:
            new = RENAMED[f"{where}.{key}"]
            raise ConfigError(f"unknown option of config.{where} {key!r}: it is config.{new} now")
        if key not in parameters and not takes_any:
            own = [name for name in parameters if name not in given]
            raise ConfigError(unknown(f"option of config.{where}", key, own))
    missing = [
        k
        for k, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and k not in options
        and k not in given
    ]
    if missing:
        raise ConfigError(f"config.{where} misses {', '.join(missing)}")
    check_values(target, options, f"config.{where}")


def check_named(
    known: Mapping[str, Callable[..., Any]],
    name: str,
    options: Mapping[str, Any],
    where: str,
    own: Mapping[str, Any] | None = None,
) -> None:
    """Refuses a name that is not in `known`, and options that what it stands for does not take.

    Args:
        known: name -> a function, of whose parameters those with a default are options.
        name: chosen.
        options: given to it.
        where: the config section, for the message.
        own: options that the caller takes itself, with their types.
    """
    if name not in known:
        raise ConfigError(unknown(f"name in config.{where}", name, known))
    if not isinstance(options, Mapping):
        raise ConfigError(f"config.{where}.{name}={options!r}, expected a section of its own")
    own = own or {}
    parameters = inspect.signature(known[name]).parameters.values()
    names = [*own, *(p.name for p in parameters if p.default is not p.empty)]
    for key, value in options.items():
        if key not in names:
            raise ConfigError(unknown(f"option of config.{where}.{name}", key, names))
        if key in own:
            check_value(f"config.{where}.{name}.{key}", value, own[key])
    check_values(known[name], options, f"config.{where}.{name}")


def check_sections(config: Mapping[str, Any]) -> None:
    """Refuses a config with an unknown or a missing section, or a number that is not finite."""
    for key in config:
        if key not in (*SECTIONS, *OPTIONAL, "seed"):
            raise ConfigError(unknown("section", key, (*SECTIONS, *OPTIONAL, "seed")))
    missing = [k for k in (*SECTIONS, "seed") if k not in config]
    if missing:
        raise ConfigError(f"config misses the sections {', '.join(missing)}")
    for name in (*SECTIONS, *OPTIONAL):
        if not isinstance(config.get(name, {}), Mapping):
            raise ConfigError(f"config.{name}={config[name]!r}, expected a section of its own")
    check_finite(config)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`, tuples as the lists of JSON; empty sections vanish."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= flatten(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = _listed(value)
    return out


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value

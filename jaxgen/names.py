"""What a name in a config may stand for: networks, an objective, a reader of data; nothing else.

A config that was read from a run directory is data that a stranger may have sent. Its names are
looked for in jaxgen, in modules that the user allowed, and in packages that are installed with an
entry point of the group `jaxgen.extensions`, whose value is a module:

    [project.entry-points."jaxgen.extensions"]
    anything = "my_package"
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Any

from jaxgen.config import ConfigError, build, check_options, unknown

EXTENSIONS = "jaxgen.extensions"
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
Allowed = Sequence[str] | None  # modules beside jaxgen's; None: any, for the config is one's own


def check_method(config: Mapping[str, Any], allow: Allowed = ()) -> type:
    """The class of the method, whose names, options, types and ranges are checked before data.

    Args:
        config: with these sections.
        allow: see `resolve`.

    Raises:
        ConfigError: for names and values that fit nothing.
    """
    networks = _networks(config["model"])
    for where, section in networks.values():
        target, options = _named(section, "jaxgen.models", where, allow)
        check_options(target, where, options)
    target, options = _named(config["method"], "jaxgen.methods", "method", allow)
    stages = config.get("frozen") or {}
    _check_stages(target, stages)
    check_options(target, "method", options, given=("spec", *networks, *stages))
    return target


def _networks(section: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Name of a network -> where its section is, and the section."""
    if "name" in section or not all(isinstance(v, Mapping) for v in section.values()):
        return {"model": ("model", section)}
    return {k: (f"model.{k}", v) for k, v in section.items()}


def _check_stages(target: type, stages: Mapping[str, Any]) -> None:
    """Refuses stages that a method does not hold, and one that it misses."""
    for name in stages:
        if name not in inspect.signature(target).parameters:
            raise ConfigError(f"config.frozen.{name}: {target.__name__} holds no stage {name!r}")


def build_method(
    config: Mapping[str, Any],
    spec: Any,
    allow: Allowed = (),
    stages: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Joins the networks of `config.model` with the objective of `config.method`.

    A model section with a `name` is one network and is passed as `model=`; else each of its
    entries is a network passed under its own name (`generator=`, `discriminator=`).

    Args:
        config: with the sections `model` and `method`.
        spec: the DataSpec of the data.
        allow: see `resolve`.
        stages: name -> trained model of `config.frozen`, passed under its name.

    Raises:
        ConfigError: for names and options that fit nothing.
    """
    networks = {}
    for name, (where, section) in _networks(config["model"]).items():
        target, options = _named(section, "jaxgen.models", where, allow)
        networks[name] = build(target, where, **options)
    target, options = _named(config["method"], "jaxgen.methods", "method", allow)
    _check_stages(target, stages)
    given = {"spec": spec} | networks | dict(stages)
    check_options(target, "method", options, given)
    return build(target, "method", **options, **given)


def sections_of(method: Any) -> dict[str, Any]:
    """The sections `model` and `method` of which `build_method` makes the same.

    Args:
        method: whose networks are fields of its own.

    Raises:
        ConfigError: for a class that no name reaches, or a field that is no plain value.
    """
    networks, options = {}, {}
    for name, value in _fields(method).items():
        if is_network(type(value)):
            own = {k: v for k, v in _fields(value).items() if k not in ("parent", "name")}
            networks[name] = _section(value, own, "jaxgen.models")
        elif name != "spec":
            options[name] = value
    model = networks["model"] if set(networks) == {"model"} else networks
    return {"model": model, "method": _section(method, options, "jaxgen.methods")}


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}


def _section(value: Any, options: Mapping[str, Any], package: str) -> dict[str, Any]:
    """The name of an object's class, and its fields."""
    kind = type(value)
    module, own = kind.__module__, f"{package}."
    name = f"{module.removeprefix(own)}{'.' if module.startswith(own) else ':'}{kind.__qualname__}"
    try:
        reached = resolve(name, package, None)
    except ConfigError:
        reached = None
    if reached is not kind:
        raise ConfigError(
            f"{kind.__qualname__} of {module} cannot be named by a config: define the class at the "
            "top of a module"
        )
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    section = {"name": name}
    for key, found in options.items():
        try:
            section[key] = _plain(found)
        except TypeError:
            if found is not defaults[key]:
                raise ConfigError(
                    f"{kind.__qualname__}.{key} is a {type(found).__name__}, which no config can "
                    "hold: give numbers, words and lists of them, and make the rest of them in a "
                    "class of your own"
                ) from None
    return section


def _plain(value: Any) -> Any:
    """As a config has it; raises TypeError."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(type(value).__name__)


def _named(section: Any, package: str, where: str, allow: Allowed) -> tuple[type, dict[str, Any]]:
    """What a section's `name` says, and its other entries."""
    if not isinstance(section, Mapping) or "name" not in section:
        raise ConfigError(f"config.{where} misses name, the dotted name of a class in {package}")
    options = dict(section)
    return resolve(options.pop("name"), package, allow), options


def resolve(name: Any, package: str, allow: Allowed = ()) -> Any:
    """The class that `name` means below `package`: `"flows.glow.Glow"` in `jaxgen.models`.

    `"my_package.my_module:Class"` reaches code outside of jaxgen.

    Args:
        name: as a config has it.
        package: one of `KINDS`, which says what is meant: a class, or a function that loads data.
        allow: modules in which names may be looked for too, and in those below them; None looks
            everywhere.

    Raises:
        ConfigError: for a name of nothing or of something else, naming the nearest; and for one
            of a module that is not allowed, which is not imported.
    """
    if not isinstance(name, str) or not DOTTED.fullmatch(name):
        raise ConfigError(
            f"{str(name)[:80]!r} is no name: expected one as 'flows.glow.Glow' in {package}, or "
            "'my_package.my_module:Class'"
        )
    if ":" in name:
        module_name, attribute = name.split(":", 1)
        places = (package, *(allow or ()), *extensions())
        if allow is not None and not below(module_name, places):
            root = module_name.partition(".")[0]
            raise ConfigError(
                f"the config names {name!r}, which is not jaxgen's own: it is not run. If the run "
                f"and the module {root} are yours or trusted, add --allow={root}"
            )
    else:
        module_name, _, attribute = f"{package}.{name}".rpartition(".")
        places = (package,)
    module = _module(module_name, name, package)
    found = vars(module).get(attribute)
    kind, is_kind = KINDS[package]
    own = [k for k, v in vars(module).items() if is_kind(v) and v.__module__ == module_name]
    if found is None:
        raise ConfigError(unknown(f"name in {module_name}", attribute, own))
    anywhere = ":" in name and allow is None
    if not is_kind(found) or not (anywhere or below(found.__module__, places)):
        raise ConfigError(f"{name!r} is no {kind}; {module_name} has {', '.join(own) or 'none'}")
    return found


def _module(module_name: str, name: str, package: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not module_name.startswith(error.name or "\0"):
            raise  # the module exists and misses something of its own
        if ":" in name:
            raise ConfigError(f"the config names {name!r}: no module {error.name}") from None
        raise ConfigError(unknown("module", name.rpartition(".")[0], modules(package))) from None


def modules(package: str) -> list[str]:
    """Dotted names of all modules below `package`."""
    root = importlib.import_module(package)
    found = pkgutil.walk_packages(root.__path__, package + ".")
    return [m.name.removeprefix(package + ".") for m in found if not m.ispkg]


def extensions() -> tuple[str, ...]:
    """Modules that installed packages declare as parts of jaxgen."""
    return tuple(entry.module for entry in metadata.entry_points(group=EXTENSIONS))


def below(module: str, places: Iterable[str]) -> bool:
    """Whether a module is one of `places` or in one of them."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


def checked(allow: str | Iterable[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modules and the folders of `--allow=A,B`, or of `allow=("A", "B")`.

    Raises:
        ConfigError: for what is neither the name of a module nor the path of a folder.
    """
    parts = (allow or "").split(",") if allow is None or isinstance(allow, str) else list(allow)
    names = [str(part) for part in parts if part]
    folders = tuple(name for name in names if "/" in name)
    modules = tuple(name for name in names if "/" not in name)
    for name in modules:
        if not MODULE.fullmatch(name):
            raise ConfigError(f"allow={name!r}, expected a module, as my_package, or a path")
    return modules, folders


def is_network(value: Any) -> bool:
    """Whether it is a Flax module; told by its bases' names: Flax imports slowly."""
    bases = value.__mro__ if inspect.isclass(value) else ()
    return any((b.__module__, b.__name__) == ("flax.linen.module", "Module") for b in bases[1:])


def is_method(value: Any) -> bool:
    """Whether it is an objective: a frozen dataclass with what `types.Method` asks for."""
    if not inspect.isclass(value) or not dataclasses.is_dataclass(value):
        return False
    parts = ("turns", "init", "evaluate", "sample")
    return value.__dataclass_params__.frozen and all(hasattr(value, part) for part in parts)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "jaxgen.data": ("function that loads data", inspect.isfunction),
    "jaxgen.models": ("network, a class of Flax modules", is_network),
    "jaxgen.methods": ("objective, a frozen dataclass as jaxgen.types.Method has it", is_method),
}

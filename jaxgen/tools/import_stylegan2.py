"""Official weights of StyleGAN2 and StyleGAN3 (NVlabs, `.pkl`) as a run of jaxgen.

The run has no data and begins at step 0: one can sample from it, mix, and project. `G_ema` alone
suffices for that.
"""

from __future__ import annotations

import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.config import ConfigError, common
from jaxgen.models.gans.stylegan3 import SCALE
from jaxgen.rundir import RunDir, write_json
from jaxgen.sharding import make_mesh
from jaxgen.train.assemble import state_target
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.types import DataSpec, State
from jaxgen.weights.pickles import Module, read
from jaxgen.weights.stylegan import (
    Arrays,
    discriminator_params,
    generator_params,
    generator_vars,
    is_alias_free,
    layers_of,
)


def import_pickle(
    path: str | pathlib.Path,
    workdir: str | pathlib.Path,
    say: Callable[[str], None] = lambda text: None,
) -> RunDir:
    """Writes a run directory with the networks of a file.

    Args:
        path: of the `.pkl`, with `G_ema` in it, which suffices for sampling, and G and D.
        workdir: a directory that does not exist yet.
        say: is told what the file lacks.

    Raises:
        ConfigError: for a file that holds no such network, or asks for code; or where `workdir` is.
    """
    run = RunDir(pathlib.Path(workdir).expanduser().absolute())
    if run.path.exists():
        raise ConfigError(f"{run.path} exists: give another --workdir")
    held = read(path)
    networks = {k: held[k] for k in ("G", "D", "G_ema") if isinstance(held.get(k), Module)}
    if "G_ema" not in networks:
        raise ConfigError(f"{path} holds no network G_ema, which is what one samples from")
    missing = [k for k in ("G", "D") if k not in networks]
    try:
        config, spec = described(networks["G_ema"], networks.get("D"))
        mesh = make_mesh()
        _, target = state_target(config, spec, mesh)
        state = filled(target, networks)
    except (ConfigError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{path} is no StyleGAN2 or StyleGAN3 as jaxgen knows it: {error}"
        ) from error
    where = {"spec": spec.as_json(), "fingerprint": {"imported": str(path)}}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = {"time": now, "command": f"jaxgen import {path}", "missing": missing, "data": where}
    write_json(run.config, config)
    write_json(run.manifest, about)
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save(0, state, {"batch": 0, "skipped": [], "best": None})
    checkpoints.wait()
    checkpoints.close()
    if missing:
        say(
            f"{path} holds no {' and no '.join(missing)}: the run samples, mixes and projects; its "
            "discriminator is empty, so that it can neither judge images nor be trained on"
        )
    return run


def described(generator: Module, discriminator: Module | None) -> tuple[dict[str, Any], DataSpec]:
    """The config of the networks and the spec of their images.

    Raises:
        ConfigError: for networks that differ from those that jaxgen has.
        KeyError: where arrays are missing.
    """
    side = generator.size("img_resolution", 4, 4096)
    classes = generator.size("c_dim")
    arrays = generator.arrays()
    made = (_alias_free if is_alias_free(arrays) else _of_blocks)(generator, arrays, side)
    c = common("imported")
    c.model = dict(
        generator=dict(latent=generator.size("z_dim", 1), style=generator.size("w_dim", 1), **made),
        discriminator=dict(name="gans.stylegan2.Discriminator")
        | _judge(discriminator, side, classes),
    )
    name = "stylegan3.StyleGAN3" if is_alias_free(arrays) else "stylegan2.StyleGAN2"
    c.method = dict(name=name, given=("label",) if classes else ())
    c.optim = dict(generator=dict(name="sgd", learning_rate=0.0))
    c.optim.discriminator = dict(name="sgd", learning_rate=0.0)
    c.ema = dict(generator=dict(half_life_steps=300.0))
    c.train.batch_size = 8
    shape = (side, side, generator.size("img_channels", 1, 64))
    return c.to_dict(), DataSpec.of("imported", shape, 256, num_classes=classes)


def _of_blocks(generator: Module, arrays: Arrays, side: int) -> dict[str, Any]:
    """Options of a StyleGAN2."""
    base = arrays[f"synthesis.b{side}.conv1.weight"].shape[0] * side
    last = generator.part("synthesis").part(f"b{side}")
    _only(last, "architecture", ("skip",))
    return dict(
        name="gans.stylegan2.Generator",
        layers=generator.part("mapping").size("num_layers", 1, 64),
        base=base,
        most=arrays["synthesis.b4.const"].shape[0],
        clamp=_clamp(last.part("conv1")),
    )


def _alias_free(generator: Module, arrays: Arrays, side: int) -> dict[str, Any]:
    """Options of a StyleGAN3."""
    names, synthesis = layers_of(arrays), generator.part("synthesis")
    last = synthesis.part(names[-1].removeprefix("synthesis."))
    if synthesis.state.get("output_scale") != SCALE:
        raise ConfigError(f"output_scale is not {SCALE}")
    return dict(
        name="gans.stylegan3.Generator",
        mapping_layers=generator.part("mapping").size("num_layers", 1, 64),
        base=arrays[f"{names[-2]}.weight"].shape[0] * side,
        most=arrays["synthesis.input.phases"].shape[0],
        layers=len(names) - 1,
        critical=synthesis.size("num_critical", 1, len(names) - 2),
        margin=synthesis.size("margin_size", 0, 256),
        rotations=arrays[f"{names[0]}.weight"].shape[2] == 1,
        clamp=_clamp(last),
    )


def _judge(discriminator: Module | None, side: int, classes: int) -> dict[str, Any]:
    """Options of the discriminator; of the smallest one, where the file has none."""
    if discriminator is None:
        return dict(base=side, most=1, group=1, style=1, layers=1)
    last, arrays = discriminator.part("b4"), discriminator.arrays()
    most = arrays["b4.conv.weight"].shape[0]
    base = arrays[f"b{side}.fromrgb.weight"].shape[0] * side
    group = last.part("mbstd").state.get("group_size")
    kind = _only(discriminator.part(f"b{side}"), "architecture", ("orig", "resnet"))
    mapping = discriminator.part("mapping") if classes else None
    return dict(
        base=base,
        most=most,
        group=None if group is None else last.part("mbstd").size("group_size", 1),
        style=most,
        layers=mapping.size("num_layers", 1, 64) if mapping else 8,
        residual=kind == "resnet",
        clamp=_clamp(last.part("conv")),
    )


def _only(module: Module, name: str, known: Sequence[str]) -> str:
    """An attribute that may be one of a few words; the last where it is not said."""
    found = module.state.get(name, known[-1])
    if found not in known:
        raise ConfigError(f"{name} {str(found)[:40]!r}, expected {' or '.join(known)}")
    return found


def _clamp(layer: Module) -> float | None:
    found = layer.state.get("conv_clamp")
    if found is None:
        return None
    if type(found) not in (int, float) or not 0 < found < math.inf:
        raise ConfigError(f"conv_clamp is {str(found)[:40]}, expected a positive number")
    return float(found)


def filled(target: State, networks: Mapping[str, Module]) -> State:
    """A state of these shapes with the networks' arrays in it; zeros for what there is not.

    Raises:
        ValueError: for arrays that do not fit.
    """
    average = networks["G_ema"].arrays()
    generator = networks["G"].arrays() if "G" in networks else average
    params = {"generator": generator_params(generator)}
    if "D" in networks:
        params["discriminator"] = discriminator_params(networks["D"].arrays())
    given = {
        "params": params,
        "vars": {"generator": generator_vars(average)},
        "ema": {"generator": generator_params(average)},
    }
    shapes = {group: getattr(target, group) for group in given}
    for group, players in given.items():  # all of them, before anything is allocated
        for player, tree in players.items():
            _check_fit(shapes[group][player], tree, f"{group}/{player}")

    def zeros(shape: Any) -> Any:
        return jax.device_put(np.zeros(shape.shape, shape.dtype), shape.sharding)

    def put(shape: Any, value: Any) -> Any:
        return jax.device_put(np.asarray(value, shape.dtype), shape.sharding)

    state = {group: dict(getattr(target, group)) for group in given}
    for group, players in given.items():
        for player in state[group]:
            shape = shapes[group][player]
            tree = players.get(player)
            state[group][player] = (
                jax.tree.map(zeros, shape) if tree is None else jax.tree.map(put, shape, tree)
            )
    rest = {"step": target.step, "opt": target.opt}
    return State(**state, **jax.tree.map(zeros, rest))


def _check_fit(shapes: Any, tree: Any, where: str) -> None:
    """Compares the names and shapes of two trees."""
    wanted, found = (
        {jax.tree_util.keystr(p, simple=True, separator="/"): np.shape(x) for p, x in leaves}
        for leaves in map(jax.tree_util.tree_leaves_with_path, (shapes, tree))
    )
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            got, expected = (t.get(name, "absent") for t in (found, wanted))
            raise ValueError(f"{where}/{name} is {got}, expected {expected}")

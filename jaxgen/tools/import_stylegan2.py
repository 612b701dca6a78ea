"""Official StyleGAN2 weights (NVlabs/stylegan2-ada-pytorch, `.pkl`) as a run of jaxgen.

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
from jaxgen.rundir import RunDir, write_json
from jaxgen.sharding import make_mesh
from jaxgen.train.assemble import state_target
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.types import DataSpec, State
from jaxgen.weights.pickles import Module, read

Arrays = Mapping[str, np.ndarray]


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
        ConfigError: for a file that holds no StyleGAN2, or asks for code; or where `workdir` is.
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
        raise ConfigError(f"{path} is not a StyleGAN2 as jaxgen knows it: {error}") from error
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
    most = arrays["synthesis.b4.const"].shape[0]
    base = arrays[f"synthesis.b{side}.conv1.weight"].shape[0] * side
    last = generator.part("synthesis").part(f"b{side}")
    _only(last, "architecture", ("skip",))
    c = common("imported")
    c.model = dict(
        generator=dict(
            name="gans.stylegan2.Generator",
            latent=generator.size("z_dim", 1),
            style=generator.size("w_dim", 1),
            layers=generator.part("mapping").size("num_layers", 1, 64),
            base=base,
            most=most,
            clamp=_clamp(last.part("conv1")),
        ),
        discriminator=dict(name="gans.stylegan2.Discriminator")
        | _judge(discriminator, side, base, most, classes),
    )
    c.method = dict(name="stylegan2.StyleGAN2", given=("label",) if classes else ())
    c.optim = dict(generator=dict(name="sgd", learning_rate=0.0))
    c.optim.discriminator = dict(name="sgd", learning_rate=0.0)
    c.ema = dict(generator=dict(half_life_steps=300.0))
    c.train.batch_size = 8
    shape = (side, side, generator.size("img_channels", 1, 64))
    return c.to_dict(), DataSpec.of("imported", shape, 256, num_classes=classes)


def _judge(
    discriminator: Module | None, side: int, base: int, most: int, classes: int
) -> dict[str, Any]:
    """Options of the discriminator; of the smallest one, where the file has none."""
    if discriminator is None:
        return dict(base=side, most=1, group=1, style=1, layers=1)
    last = discriminator.part("b4")
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


def kernel(weight: np.ndarray, up: bool = False) -> np.ndarray:
    """[co, ci, kh, kw] to [kh, kw, ci, co]; of doubling convolutions flipped in space."""
    out = weight.transpose(2, 3, 1, 0)
    return out[::-1, ::-1].copy() if up else out


def _dense(arrays: Arrays, name: str) -> dict[str, np.ndarray]:
    return {"kernel": arrays[f"{name}.weight"].T, "bias": arrays[f"{name}.bias"]}


def _conv(arrays: Arrays, name: str) -> dict[str, np.ndarray]:
    return {"kernel": kernel(arrays[f"{name}.weight"]), "bias": arrays[f"{name}.bias"]}


def _mapping(arrays: Arrays) -> dict[str, Any]:
    out = {"embed": _dense(arrays, "mapping.embed")} if "mapping.embed.weight" in arrays else {}
    i = 0
    while f"mapping.fc{i}.weight" in arrays:
        out[f"layer{i}"] = _dense(arrays, f"mapping.fc{i}")
        i += 1
    return out


def _sides(arrays: Arrays, pattern: str) -> list[int]:
    """Of the blocks that there are, from 4 on."""
    side, found = 4, []
    while pattern.format(side) in arrays:
        found.append(side)
        side *= 2
    return found


def generator_params(arrays: Arrays) -> dict[str, Any]:
    """Our parameters from the official names."""
    synthesis: dict[str, Any] = {"constant": arrays["synthesis.b4.const"].transpose(1, 2, 0)}
    for side in _sides(arrays, "synthesis.b{}.conv1.weight"):
        block = f"synthesis.b{side}"
        for ours, theirs in (("conv", "conv1"), ("up", "conv0"))[: 1 if side == 4 else 2]:
            layer = f"{block}.{theirs}"
            synthesis[f"{ours}{side}"] = {
                "affine": _dense(arrays, f"{layer}.affine"),
                "kernel": kernel(arrays[f"{layer}.weight"], up=ours == "up"),
                "strength": arrays[f"{layer}.noise_strength"],
                "bias": arrays[f"{layer}.bias"],
            }
        rgb = f"{block}.torgb"
        synthesis[f"image{side}"] = _conv(arrays, rgb) | {"affine": _dense(arrays, f"{rgb}.affine")}
    return {"mapping": _mapping(arrays), "synthesis": synthesis}


def generator_vars(arrays: Arrays) -> dict[str, Any]:
    """Its noise, and its mean of w."""
    noise = {}
    for side in _sides(arrays, "synthesis.b{}.conv1.weight"):
        for ours, theirs in (("conv", "conv1"), ("up", "conv0"))[: 1 if side == 4 else 2]:
            constant = arrays[f"synthesis.b{side}.{theirs}.noise_const"]
            noise[f"{ours}{side}"] = {"noise": constant[None, ..., None]}
    moments = {"mapping": {"mean": arrays["mapping.w_avg"]}}
    return {"constants": {"synthesis": noise}, "moments": moments}


def discriminator_params(arrays: Arrays) -> dict[str, Any]:
    """Our parameters from the official names."""
    sides = [side for side in _sides(arrays | {"b4.conv0.weight": 0}, "b{}.conv0.weight")][1:]
    params = {"image": _conv(arrays, f"b{sides[-1]}.fromrgb")}
    for side in sides:
        if f"b{side}.skip.weight" in arrays:  # which "orig" has not
            params[f"skip{side}"] = {"kernel": kernel(arrays[f"b{side}.skip.weight"])}
        params[f"conv{side}"] = _conv(arrays, f"b{side}.conv0")
        params[f"down{side}"] = _conv(arrays, f"b{side}.conv1")
    rows = arrays["b4.fc.weight"]  # [out, c * h * w]
    rows = rows.reshape(len(rows), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(rows))
    params |= {
        "last": _conv(arrays, "b4.conv"),
        "dense": {"kernel": rows, "bias": arrays["b4.fc.bias"]},
        "logit": _dense(arrays, "b4.out"),
    }
    return params | _mapping(arrays)

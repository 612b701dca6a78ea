"""Official StyleGAN2 weights (NVlabs/stylegan2-ada-pytorch, `.pkl`) as a run of jaxgen.

The run has no data and begins at step 0: one can sample from it, mix, and project.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError, common
from jaxgen.rundir import RunDir, write_json
from jaxgen.tools.pickles import Module, read
from jaxgen.train.assemble import state_target
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.train.sharding import make_mesh
from jaxgen.types import DataSpec, State

Arrays = Mapping[str, np.ndarray]


def import_pickle(path: str | pathlib.Path, workdir: str | pathlib.Path) -> RunDir:
    """Writes a run directory with the networks of a file.

    Args:
        path: of the `.pkl`, with G, D and G_ema in it.
        workdir: a directory that does not exist yet.

    Raises:
        ConfigError: for a file that holds no StyleGAN2, or asks for code; or where `workdir` is.
    """
    run = RunDir(pathlib.Path(workdir).expanduser().absolute())
    if run.path.exists():
        raise ConfigError(f"{run.path} exists: give another --workdir")
    networks = read(path)
    missing = [k for k in ("G", "D", "G_ema") if not isinstance(networks.get(k), Module)]
    if missing:
        raise ConfigError(f"{path} holds no networks {', '.join(missing)}")
    try:
        config, spec = described(networks["G_ema"], networks["D"])
        mesh = make_mesh()
        _, target = state_target(config, spec, mesh)
        state = filled(target, networks)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path} is not a StyleGAN2 as jaxgen knows it: {error}") from error
    where = {"spec": _plain(spec), "fingerprint": {"imported": str(path)}}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_json(run.config, config)
    write_json(run.manifest, {"time": now, "command": f"jaxgen import {path}", "data": where})
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save(0, state, {"batch": 0, "skipped": [], "best": None})
    checkpoints.wait()
    checkpoints.close()
    return run


def _plain(spec: DataSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "levels": spec.levels,
        "num_classes": spec.num_classes,
        "entropy": None,
    }


def described(generator: Module, discriminator: Module) -> tuple[dict[str, Any], DataSpec]:
    """The config of the networks and the spec of their images."""
    own, side = generator.state, generator.state["img_resolution"]
    arrays = generator.arrays()
    most = arrays["synthesis.b4.const"].shape[0]
    base = arrays[f"synthesis.b{side}.conv1.weight"].shape[0] * side
    c = common("imported")
    c.model = dict(
        generator=dict(
            name="gans.stylegan2.Generator",
            latent=own["z_dim"],
            style=own["w_dim"],
            layers=generator.part("mapping").state["num_layers"],
            base=base,
            most=most,
        ),
        discriminator=dict(
            name="gans.stylegan2.Discriminator",
            base=base,
            most=most,
            group=discriminator.part("b4").part("mbstd").state["group_size"],
            style=most,
            layers=8,
        ),
    )
    if own["c_dim"]:
        c.model.discriminator.layers = discriminator.part("mapping").state["num_layers"]
    c.method = dict(name="stylegan2.StyleGAN2", conditional=bool(own["c_dim"]))
    c.optim = dict(generator=dict(name="sgd", learning_rate=0.0))
    c.optim.discriminator = dict(name="sgd", learning_rate=0.0)
    c.ema = dict(generator=dict(half_life_steps=300.0))
    c.train.batch_size = 8
    shape = (side, side, own["img_channels"])
    return c.to_dict(), DataSpec("imported", shape, 256, num_classes=own["c_dim"])


def filled(target: State, networks: Mapping[str, Module]) -> State:
    """A state of these shapes with the networks' arrays in it.

    Raises:
        ValueError: for arrays that do not fit.
    """
    state = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), target)
    trained, average = (networks[k].arrays() for k in ("G", "G_ema"))
    params = {
        "generator": generator_params(trained),
        "discriminator": discriminator_params(networks["D"].arrays()),
    }
    variables = state.vars | {"generator": generator_vars(average)}
    new = state.replace(params=params, ema={"generator": generator_params(average)}, vars=variables)

    def fitted(path: Any, old: Any, value: Any) -> Any:
        if old.shape != np.shape(value):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(f"{name} is {np.shape(value)}, expected {old.shape}")
        return jax.device_put(np.asarray(value, old.dtype), old.sharding)

    return jax.tree_util.tree_map_with_path(fitted, target, new)


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

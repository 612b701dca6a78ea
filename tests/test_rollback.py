"""A rollback takes all back that a bad batch moved: averages, p of the augmentation, paths."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import rows

import jaxgen
from jaxgen.data import load
from jaxgen.data.loader import Order
from jaxgen.methods.diffusion import Diffusion
from jaxgen.methods.edm import EDM
from jaxgen.methods.noised_classifier import NoisedClassifier
from jaxgen.methods.stylegan2 import StyleGAN2

BAD, SAVED = 7, 5
FLAGS = (
    "--config.train.steps=12",
    "--config.train.log_every_steps=1",
    f"--config.train.save_every_steps={SAVED}",
    "--config.train.on_nan=rollback",
)


@dataclasses.dataclass(frozen=True)
class Poisoned(StyleGAN2):
    """Not finite on the one batch whose pixels have this sum."""

    poison: int = 0

    def discriminator_loss(self, state, batch, rng):
        loss, rest = super().discriminator_loss(state, batch, rng)
        total = jnp.sum(batch["x"].astype(jnp.int32))
        return jnp.where(total == self.poison, jnp.nan, loss), rest


@dataclasses.dataclass(frozen=True)
class Overflowing:
    """A loss whose activations overflow on that batch, as those in bfloat16 may."""

    poison: int = 0

    def loss(self, state, batch, rng):
        total = jnp.sum(batch["x"].astype(jnp.int32))
        large = jnp.where(total == self.poison, 1e38, 1.0)
        huge = jax.tree.map(lambda p: p * large.astype(p.dtype), state.params)
        return super().loss(state.replace(params=huge), batch, rng)


@dataclasses.dataclass(frozen=True)
class OverflowingDDPM(Overflowing, Diffusion):
    """Of bits of noise."""


@dataclasses.dataclass(frozen=True)
class OverflowingEDM(Overflowing, EDM):
    """Of denoised images."""


@dataclasses.dataclass(frozen=True)
class OverflowingClassifier(Overflowing, NoisedClassifier):
    """Of classes."""


def poisoned(data_root, tmp_path, source, arg, name, more=""):
    """The flags of a run that is not finite on its batch number `BAD`."""
    x = load("digits", data_dir=str(data_root)).splits["train"].x
    poison = int(x[Order(len(x), 16, 0)[BAD]].astype(np.int64).sum())
    config = tmp_path / "config.py"
    config.write_text(
        "import importlib.util\n"
        "def get_config(arg=''):\n"
        f"    spec = importlib.util.spec_from_file_location('c', 'configs/{source}.py')\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        f"    c = module.get_config({arg!r})\n"
        f"    c.method.update(name='test_rollback:{name}', poison={poison})\n"
        f"    {more}\n"
        "    return c\n"
    )
    return f"--config={config}", *FLAGS


DIFFUSION = {
    "ddpm": ("digits_classes,tiny", "OverflowingDDPM"),
    "edm": ("digits_classes,tiny", "OverflowingEDM"),
    "adm_classifier": ("tiny", "OverflowingClassifier"),
}


@pytest.mark.slow
@pytest.mark.parametrize("source", DIFFUSION)
def test_an_overflow_in_bfloat16_leaves_parameters_and_averages(
    starter, data_root, tmp_path, source
):
    """As in a run whose order of batches leaves that one out: the same, run twice, and finite."""
    half = "c.model.dtype = 'bfloat16'"
    flags = poisoned(data_root, tmp_path, source, *DIFFUSION[source], more=half)
    job = starter.run(*flags, f"--workdir={tmp_path / 'run'}", limit=900)
    assert f"rolled back to step {SAVED}, batch {BAD} is left out" in job.out
    state = jaxgen.load(job.workdir, allow="test_rollback").state
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.params, state.ema)))
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype("float32")}
    progress = json.loads((job.workdir / "checkpoints/12/progress/metadata").read_text())
    assert progress["skipped"] == [BAD]
    again = starter.run(*flags, f"--workdir={tmp_path / 'again'}", limit=900)
    assert again.digest == job.digest


@pytest.mark.slow
def test_memory_is_rolled_back(starter, data_root, tmp_path):
    """As a run that never saw the batch: killed at the checkpoint, it would have the same state."""
    ada = "c.method.augment = dict(name='ada', images=400, target=-2.0)"
    flags = poisoned(data_root, tmp_path, "stylegan2", "digits,tiny", "Poisoned", ada)
    job = starter.run(*flags, f"--workdir={tmp_path / 'run'}", limit=900)
    assert f"rolled back to step {SAVED}, batch {BAD} is left out" in job.out
    assert [row["step"] for row in rows(job.workdir, "train")] == list(range(1, 13))
    kept = jaxgen.load(job.workdir, allow="test_rollback").state.vars["game"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(kept))
    # up by 1, 4 and 4 batches at steps 0, 4 and 8: those played twice would count twice
    np.testing.assert_allclose(kept["augment"]["p"], 9 * 16 / 400, rtol=1e-5)
    assert kept["augment"]["seen"] == 3 * 16 and kept["path_mean"] > 0
    early = jaxgen.load(job.workdir, step=10, allow="test_rollback").state.vars["game"]
    assert kept["path_mean"] == early["path_mean"]  # of steps 0, 4 and 8: none since
    progress = json.loads((job.workdir / "checkpoints/12/progress/metadata").read_text())
    assert progress["skipped"] == [BAD]
    again = starter.run(*flags, f"--workdir={tmp_path / 'again'}", limit=900)
    assert again.digest == job.digest

"""A rollback takes the memory of two players back too: p of the augmentation, the mean path."""

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


@pytest.mark.slow
def test_memory_is_rolled_back(starter, data_root, tmp_path):
    """As a run that never saw the batch: killed at the checkpoint, it would have the same state."""
    x = load("digits", data_dir=str(data_root)).splits["train"].x
    poison = int(x[Order(len(x), 16, 0)[BAD]].astype(np.int64).sum())
    config = tmp_path / "config.py"
    source = "configs/stylegan2.py"
    config.write_text(
        "import importlib.util\n"
        "def get_config(arg=''):\n"
        f"    spec = importlib.util.spec_from_file_location('c', {source!r})\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "    c = module.get_config('digits,tiny')\n"
        f"    c.method.update(name='test_rollback:Poisoned', poison={poison})\n"
        "    c.method.augment = dict(name='ada', images=400, target=-2.0)\n"
        "    return c\n"
    )
    flags = (f"--config={config}", *FLAGS)
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

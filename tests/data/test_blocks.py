"""Pictures of a block: geometry by hand, what a camera adds, and how they are drawn."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import DataError, load
from jaxgen.data.embedded import blocks
from jaxgen.ops.blocks import covered, synthetic


def test_a_block_covers_its_area_where_it_is():
    position = np.random.RandomState(0).uniform(4, 20, (50, 2))
    share = covered(position, xp=np)
    np.testing.assert_allclose(share.sum((1, 2)), 25)
    centres = np.arange(24) + 0.5
    right, down = (np.tensordot(share.sum(axis), centres, (1, 0)) / 25 for axis in (1, 2))
    np.testing.assert_allclose(np.stack([right, down], 1), position, atol=0.03)
    whole = covered(np.array([[10.5, 6.5]]), xp=np)[0]
    assert (whole[4:9, 8:13] == 1).all() and whole.sum() == 25  # rows are down
    np.testing.assert_allclose(covered(jnp.float32(position)), share, atol=1e-5)


def test_rendered_pictures_have_two_greys():
    picture = synthetic(np.array([[10.5, 6.5]]), np)
    assert picture.shape == (1, 24, 24, 1)
    np.testing.assert_allclose(np.unique(picture), [0.25, 0.85])


def test_rendered_set():
    data = load("sim_block")
    batch = data.splits["test"].take(np.arange(5))
    assert [len(data.splits[s]) for s in ("train", "test")] == [8000, 1000]
    assert batch["x"].dtype == np.uint8 and set(batch) == {"x", "position"}
    np.testing.assert_array_equal(batch["x"], blocks.levels(synthetic(batch["position"], np)))
    every = data.splits["train"].take(np.arange(8000))["position"]
    assert every.min() > 4 and every.max() < 20 and abs(every.mean() - 12) < 0.2


@pytest.mark.parametrize("name", ["real_block", "real_block_distractor"])
def test_real_set(name):
    data = load(name)
    assert [len(data.splits[s]) for s in ("train", "test")] == [200, 1000]
    batch = data.splits["test"].take(np.arange(1000))
    flat = blocks.levels(synthetic(batch["position"], np))
    assert np.abs(batch["synthetic"].astype(int) - flat).max() <= 1  # float32 positions
    x, share = batch["x"] / 255, covered(batch["position"].astype(np.float64), xp=np)[..., None]
    ground = np.where(
        covered(batch["position"] + blocks.SHADOW, xp=np)[..., None] + share == 0, x, 0
    )
    count = (ground > 0).sum((1, 2, 3))
    level = ground.sum((1, 2, 3)) / count
    if name == "real_block":
        assert 0.38 < level.mean() < 0.42  # of U(0.3, 0.5), gain 1
    block = np.where(share == 1, x, 0).sum((1, 2, 3)) / (share == 1).sum((1, 2, 3))
    assert 0.8 < block.mean() < 0.88  # what is above 1 is cut
    right = covered(batch["position"] + blocks.SHADOW, xp=np)[..., None] * (share == 0)
    shadow = np.where(right == 1, x, 0).sum((1, 2, 3)) / (right == 1).sum((1, 2, 3))
    ratio = np.median(shadow / level)
    assert 0.55 < ratio < 0.66


def test_a_distractor_is_a_disc_off_the_block():
    """With the same draws but for the disc, pictures would differ in it alone: its size is seen."""
    random = np.random.RandomState(0)
    position = np.array([[8.0, 8.0]])
    for _ in range(20):
        disc = blocks._disc(random, position)[0]
        assert np.pi * 2**2 - 2 < disc.sum() < np.pi * 3**2 + 2
        down, right = (np.arange(24) + 0.5 for _ in range(2))
        middle = np.array([disc.sum(0) @ right, disc.sum(1) @ down]) / disc.sum()
        assert np.linalg.norm(middle - position[0]) > 5.5


def test_draws_of_more_begin_with_those_of_fewer():
    few, more = (blocks.drawn("real_block", n, 7) for n in (3, 6))
    for key in few:
        np.testing.assert_array_equal(few[key], more[key][:3])
    assert (blocks.drawn("real_block", 3, 8)["x"] != few["x"]).any()
    with pytest.raises(DataError, match="expected one of sim_block, real_block, real_block_distr"):
        blocks.load("real_blocks")

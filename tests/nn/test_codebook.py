"""Quantisers as layers: gradients, what moves and what does not, any mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.config import ConfigError
from jaxgen.nn.codebook import Codebook, GroupedCodebook, ResidualCodebook, quantizer
from jaxgen.nn.codes import FSQ, VARS, GumbelCodebook, Map

KEY = jax.random.key(0)
Z = jnp.asarray(np.random.RandomState(0).randn(8, 2, 3, 4), jnp.float32)
BOOK = dict(codes=6, dim=4, start="kmeans")
QUANTIZERS = {
    "averages": Codebook(**BOOK, revive=True, decay=0.9),
    "gradient": Codebook(**BOOK, learned="gradient"),
    "cosine": Codebook(**BOOK, cosine=True, decay=0.9),
    "grouped": GroupedCodebook(Codebook(codes=6, dim=2, start="kmeans", revive=True), 2),
    "residual": ResidualCodebook(Codebook(**BOOK, decay=0.9), 3),
    "fsq": FSQ((4, 3, 2, 5)),
    "gumbel": GumbelCodebook(4, 5),
}


@functools.cache
def begun(name):
    return jax.jit(QUANTIZERS[name].init)({"params": KEY}, Z)


@functools.cache
def trained(name):
    """What a training call gives, and all variables after it."""
    module = QUANTIZERS[name]

    @jax.jit
    def run(variables, z):
        moving = dict(train=True, mutable=[VARS], rngs={VARS: KEY})
        found, moved = module.apply(variables, z, **moving)
        return found, {**variables, **moved}

    return run(begun(name), Z)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_evaluation_moves_nothing_and_ids_are_looked_up(name):
    module = QUANTIZERS[name]
    after = trained(name)[1]

    @jax.jit
    def run(variables, z):
        found, moved = module.apply(variables, z, mutable=[VARS])
        return found, moved, module.apply(variables, found.ids, method="lookup")

    found, moved, looked = run(after, Z)
    jax.tree.map(np.testing.assert_array_equal, moved[VARS], after[VARS])
    np.testing.assert_allclose(found.q, looked, rtol=1e-5, atol=1e-6)
    assert found.ids.shape == (*Z.shape[:-1], module.groups) and found.ids.dtype == jnp.int32
    assert found.usage.shape == (module.groups, module.codes)
    for g in range(module.groups):
        counts = np.bincount(np.ravel(found.ids[..., g]), minlength=module.codes)
        np.testing.assert_array_equal(found.usage[g], counts)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_training_moves_the_collection(name):
    sides = [jax.tree.leaves(v[VARS]) for v in (begun(name), trained(name)[1])]
    assert all((a != b).any() for a, b in zip(*sides, strict=True))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_any_mesh_gives_the_same(name):
    """Eight devices with an example each: sums, starts and revivals are of the global batch."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    z = jax.device_put(Z, NamedSharding(mesh, PartitionSpec("data")))
    module = QUANTIZERS[name]

    @jax.jit
    def run(z):
        variables = module.init({"params": KEY}, z)
        moving = dict(train=True, mutable=[VARS], rngs={VARS: KEY})
        return variables, module.apply(variables, z, **moving)

    variables, (found, moved) = run(z)
    expected, after = trained(name)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, (variables, found, moved[VARS]), (begun(name), expected, after[VARS]))


def loss_and_parts(module, target=None):
    """Gradients by vectors and by params, of a loss of q, or of the quantiser's own."""

    def loss(z, params, rest):
        found = module.apply({"params": params, **rest}, z)
        return found.loss if target is None else jnp.sum(jnp.sin(target * found.q))

    variables = dict(begun("gradient"))
    params = variables.pop("params")
    return jax.jit(jax.grad(loss, (0, 1)))(Z, params, variables), params["table"]


def test_a_reconstruction_moves_the_vectors_and_not_the_codes():
    (of_z, of_params), _ = loss_and_parts(QUANTIZERS["gradient"], target=3.0)
    q = trained("gradient")[0].q
    np.testing.assert_allclose(of_z, 3 * np.cos(3 * q), rtol=1e-4, atol=1e-5)
    assert not np.any(of_params["table"])


def test_the_commitment_moves_the_vectors_alone():
    """Its weight is on the side of the encoder."""
    module = QUANTIZERS["gradient"]
    (of_z, of_params), table = loss_and_parts(module)
    heavy, _ = loss_and_parts(module.clone(commitment=1.0))
    ids = np.ravel(trained("gradient")[0].ids)
    np.testing.assert_allclose(heavy[0], 4 * of_z, rtol=1e-5)
    np.testing.assert_array_equal(heavy[1]["table"], of_params["table"])
    expected = 0.25 * 2 * (np.reshape(Z, (-1, 4)) - table[ids]) / Z.size
    np.testing.assert_allclose(np.reshape(of_z, (-1, 4)), expected, rtol=1e-4, atol=1e-7)
    pull = np.zeros(table.shape)
    np.add.at(pull, ids, -2 * (np.reshape(Z, (-1, 4)) - table[ids]) / Z.size)
    np.testing.assert_allclose(of_params["table"], pull, rtol=1e-4, atol=1e-7)


def moved(module, variables, z, key=KEY):
    moving = dict(train=True, mutable=[VARS], rngs={VARS: key})
    return jax.jit(functools.partial(module.apply, **moving))(variables, z)


def planted(module):
    """Its codes far away, but for the last, which all vectors choose."""
    variables = module.init({"params": KEY}, Z)
    table = jnp.full((6, 4), 100.0).at[5].set(0.0)
    return {VARS: {**variables[VARS], "table": table}}


def test_dead_codes_are_revived_at_once_and_the_living_one_is_not_touched():
    module = Codebook(6, 4, revive=True)
    found, after = moved(module, planted(module), Z)
    assert found.dead == 5 and np.sum(found.usage > 0) == 1
    without = moved(Codebook(6, 4), planted(module), Z)[1]
    np.testing.assert_array_equal(after[VARS]["table"][5], without[VARS]["table"][5])
    again, later = moved(module, after, Z)
    assert again.dead == 0 and np.all(again.usage >= 1)
    # what was revived moves to its vectors as any code does, and is not drawn anew
    assert np.all(np.abs(later[VARS]["table"] - after[VARS]["table"]).max(1) < 1.5)
    control, _ = moved(Codebook(6, 4), without, Z)
    assert control.dead == 5


def test_another_key_revives_by_other_vectors_and_the_same_by_the_same():
    module = Codebook(6, 4, revive=True)
    tables = [
        moved(module, planted(module), Z, jax.random.key(k))[1][VARS]["table"] for k in (0, 1)
    ]
    same = moved(module, planted(module), Z)[1][VARS]["table"]
    assert (tables[0][:5] != tables[1][:5]).any()
    np.testing.assert_array_equal(tables[0], same)


def test_revival_ends():
    module = Codebook(6, 4, revive=True, revive_steps=1)
    variables = planted(module)
    _, first = moved(module, variables, Z)
    assert np.abs(first[VARS]["table"]).max() < 50
    late = {VARS: {**first[VARS], "table": variables[VARS]["table"]}}
    counts = jnp.zeros(6).at[5].set(20.0)
    late[VARS]["averages"] = first[VARS]["averages"]._replace(counts=counts)
    found, second = moved(module, late, Z)
    assert found.dead == 5 and (second[VARS]["table"] == 100).all(1).sum() == 5


def test_cosine_codes_have_length_one_and_ignore_that_of_vectors():
    found, after = trained("cosine")
    lengths = np.linalg.norm(after[VARS]["table"], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.q, axis=-1), 1, rtol=1e-5)
    longer = jax.jit(QUANTIZERS["cosine"].apply)(begun("cosine"), 3 * Z)
    np.testing.assert_array_equal(longer.ids, found.ids)
    flat = np.reshape(Z, (-1, 4))
    cosine = flat @ np.asarray(begun("cosine")[VARS]["table"]).T
    unit = np.asarray(begun("cosine")[VARS]["table"])
    cosine = flat @ (unit / np.linalg.norm(unit, axis=1, keepdims=True)).T
    np.testing.assert_array_equal(np.ravel(found.ids), cosine.argmax(1))


def test_groups_are_codebooks_of_parts():
    found, _ = trained("grouped")
    table = np.asarray(begun("grouped")[VARS]["book"]["table"])
    for g in range(2):
        part = np.reshape(Z, (-1, 2, 2))[:, g]
        distances = np.square(part[:, None] - table[g][None]).sum(-1)
        np.testing.assert_array_equal(np.ravel(found.ids[..., g]), distances.argmin(1))
        np.testing.assert_allclose(
            np.reshape(found.q, (-1, 2, 2))[:, g], table[g][distances.argmin(1)], atol=1e-6
        )


def test_residual_codes_are_of_what_is_left():
    found, _ = trained("residual")
    table = np.asarray(begun("residual")[VARS]["book"]["table"], np.float64)
    rest, loss = np.asarray(Z).reshape(-1, 4).astype(np.float64), 0.0
    lengths = [np.square(rest).sum()]
    for g in range(3):
        ids = np.square(rest[:, None] - table[g][None]).sum(-1).argmin(1)
        np.testing.assert_array_equal(np.ravel(found.ids[..., g]), ids)
        rest = rest - table[g][ids]
        loss += 0.25 * np.square(rest).mean()
        lengths.append(np.square(rest).sum())
    np.testing.assert_allclose(
        np.reshape(found.q, (-1, 4)), np.reshape(Z, (-1, 4)) - rest, atol=1e-5
    )
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    assert lengths == sorted(lengths, reverse=True)


def test_gumbel_codes_are_drawn_in_training_alone():
    module, variables = QUANTIZERS["gumbel"], begun("gumbel")
    table = np.asarray(variables["params"]["table"])
    warm = trained("gumbel")[0]
    cold, _ = moved(module, variables, 1e4 * Z)
    np.testing.assert_allclose(cold.q, table[np.argmax(Z, -1)], atol=1e-4)
    assert np.abs(warm.q - table[np.argmax(Z, -1)]).max() > 0.1
    bare = GumbelCodebook(4, 0).apply({VARS: variables[VARS]}, Z)
    np.testing.assert_array_equal(bare.q, np.eye(4)[np.argmax(Z, -1)])


def test_half_precision_is_compared_in_full():
    z = Z.astype(jnp.bfloat16)
    found = jax.jit(QUANTIZERS["averages"].apply)(begun("averages"), z)
    assert found.q.dtype == jnp.bfloat16 and found.loss.dtype == jnp.float32
    table = np.asarray(begun("averages")[VARS]["table"])
    flat = np.reshape(np.asarray(z, np.float32), (-1, 4))
    expected = np.square(flat[:, None] - table[None]).sum(-1).argmin(1)
    np.testing.assert_array_equal(np.ravel(found.ids), expected)


def test_bits_of_a_map():
    np.testing.assert_allclose(Map(4, 4, 1, 64).nats / np.log(2), 96)


@pytest.mark.parametrize(
    ("section", "kind", "groups", "codes"),
    [
        (dict(name="codebook", codes=9, dim=2), Codebook, 1, 9),
        (dict(name="grouped", groups=3, codes=9, dim=2), GroupedCodebook, 3, 9),
        (dict(name="residual", codes=9), ResidualCodebook, 2, 9),
        (dict(name="fsq", levels=(3, 4)), FSQ, 1, 12),
    ],
    ids=lambda v: v["name"] if isinstance(v, dict) else "",
)
def test_sections(section, kind, groups, codes):
    found = quantizer(section)
    assert isinstance(found, kind) and (found.groups, found.codes) == (groups, codes)
    assert found.dim == {9: 64}.get(codes if kind is ResidualCodebook else 0, found.dim)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (dict(name="kodebook"), "unknown name in config.model.quantizer 'kodebook': did you"),
        (dict(), "unknown name in config.model.quantizer 'None'"),
        (dict(name="codebook", code=9), "unknown option .*'code': did you mean 'codes'"),
        (dict(name="codebook", groups=2), "unknown option .*'groups'"),
        (dict(name="codebook", start="zeros"), "start='zeros', expected one of"),
        (dict(name="codebook", learned="sum"), "learned='sum', expected one of"),
        (dict(name="codebook", decay=1.0), "decay=1.0, expected 0 or more, and less than 1"),
        (dict(name="codebook", learned="gradient", revive=True), "revive=True is of learned="),
        (dict(name="residual", cosine=True), "cosine=True: what codes of length one leave"),
        (dict(name="fsq", levels=(4, 1)), r"levels=\(4, 1\), expected numbers of 2 or more"),
    ],
    ids=str,
)
def test_sections_that_are_wrong(section, message):
    with pytest.raises(ConfigError, match=message):
        quantizer(section)


def test_vectors_of_another_size_are_refused():
    for module in (Codebook(dim=3), FSQ((4, 4)), GumbelCodebook(5)):
        with pytest.raises(ValueError, match=f"vectors of 4 numbers, expected {module.dim}"):
            jax.eval_shape(module.init, KEY, Z)

"""Weights in the official format, pickled here without PyTorch; and pickles that must not run.

`tests/parity/stylegan2.py` compares the imported networks with the official ones.
"""

import io
import os
import pickle
import struct
import sys
import types

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.torch_file import MAGIC
from jaxgen.sharding import make_mesh
from jaxgen.tools.import_stylegan2 import described, filled, import_pickle
from jaxgen.train.assemble import state_target
from jaxgen.weights.pickles import read

RANDOM = np.random.RandomState(0)
SIDE, STYLE, MOST, BASE, LAYERS, CLASSES = 8, 5, 6, 32, 2, 3


class Call:
    """Pickles as a call of a function that only has a name."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def names(monkeypatch):
    """names("torch._utils", "f"): something that pickles as that name."""

    def make(module, name):
        def function(*args):
            raise AssertionError("a pickle was run")

        function.__module__, function.__qualname__, function.__name__ = module, name, name
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            path = ".".join(parts[:i])
            monkeypatch.setitem(sys.modules, path, sys.modules.get(path) or types.ModuleType(path))
        monkeypatch.setattr(sys.modules[module], name, function, raising=False)
        return function

    return make


def saved(array, dtype):
    """One storage, as torch.save wrote it before its zip files."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, np.ndarray):
                return ("storage", dtype, "0", "cpu", value.size, None)

    out = io.BytesIO()
    for value in (MAGIC, 1001, {"little_endian": True}):
        pickle.dump(value, out, protocol=2)
    Pickler(out, protocol=2).dump(array)
    pickle.dump(["0"], out, protocol=2)
    out.write(struct.pack("<q", array.size) + array.tobytes())
    return out.getvalue()


@pytest.fixture
def official(names):
    """official(arrays, **state): a module in the official format, arrays by their long names."""
    rebuild = names("torch._utils", "_rebuild_tensor_v2")
    load, dtype = names("torch.storage", "_load_from_bytes"), names("torch", "FloatStorage")
    persistent = names("torch_utils.persistence", "_reconstruct_persistent_obj")

    def tensor(array):
        array = np.array(array, np.float32, order="C")
        strides = tuple(s // 4 for s in array.strides)
        storage = Call(load, saved(array.ravel(), dtype))
        return Call(rebuild, storage, 0, array.shape, strides, False, {})

    def module(arrays, states, prefix=""):
        own = {k: v for k, v in arrays.items() if "." not in k}
        heads = sorted(
            {k.split(".")[0] for k in arrays if "." in k}
            | {
                k.removeprefix(prefix).split(".")[0]
                for k in states
                if k.startswith(prefix) and k != prefix
            }
        )
        parts = {}
        for head in heads:
            inner = {
                k.removeprefix(f"{head}."): v for k, v in arrays.items() if k.startswith(f"{head}.")
            }
            parts[head] = module(inner, states, f"{prefix}{head}.")
        state = {
            "_parameters": {k: tensor(v) for k, v in own.items()},
            "_buffers": {},
            "_modules": parts,
            **states.get(prefix, {}),
        }
        return Call(persistent, {"class_name": "Any", "module_src": "raise", "state": state})

    return module


def dense(name, out, width):
    return {f"{name}.weight": RANDOM.randn(out, width), f"{name}.bias": RANDOM.randn(out)}


def conv(name, out, width, side):
    return {
        f"{name}.weight": RANDOM.randn(out, width, side, side),
        f"{name}.bias": RANDOM.randn(out),
    }


def generator():
    arrays = {"synthesis.b4.const": RANDOM.randn(MOST, 4, 4), "mapping.w_avg": RANDOM.randn(STYLE)}
    arrays |= dense("mapping.embed", STYLE, CLASSES)
    arrays |= dense("mapping.fc0", STYLE, 2 * STYLE) | dense("mapping.fc1", STYLE, STYLE)
    widths = {4: MOST, 8: 4}
    for side, names in ((4, ["conv1"]), (8, ["conv0", "conv1"])):
        width = MOST
        for name in names:
            layer = f"synthesis.b{side}.{name}"
            arrays |= conv(layer, widths[side], width, 3)
            arrays |= dense(f"{layer}.affine", width, STYLE)
            arrays[f"{layer}.noise_strength"] = RANDOM.randn()
            arrays[f"{layer}.noise_const"] = RANDOM.randn(side, side)
            width = widths[side]
        arrays |= conv(f"synthesis.b{side}.torgb", 1, width, 1)
        arrays |= dense(f"synthesis.b{side}.torgb.affine", width, STYLE)
    return arrays


def discriminator():
    arrays = conv("b8.fromrgb", 4, 1, 1) | conv("b8.conv0", 4, 4, 3) | conv("b8.conv1", MOST, 4, 3)
    arrays["b8.skip.weight"] = RANDOM.randn(MOST, 4, 1, 1)
    arrays |= conv("b4.conv", MOST, MOST + 1, 3) | dense("b4.fc", MOST, MOST * 16)
    arrays |= dense("b4.out", MOST, MOST) | dense("mapping.embed", MOST, CLASSES)
    return arrays | dense("mapping.fc0", MOST, MOST) | dense("mapping.fc1", MOST, MOST)


OWN = {"img_resolution": SIDE, "z_dim": STYLE, "w_dim": STYLE, "c_dim": CLASSES, "img_channels": 1}
CLAMP = {"conv_clamp": 256}
STATES = {"": OWN, "mapping.": {"num_layers": LAYERS}, "synthesis.b8.conv1.": CLAMP}
JUDGE = {"": {}, "b4.mbstd.": {"group_size": 4}, "mapping.": {"num_layers": LAYERS}}
JUDGE |= {"b4.conv.": CLAMP}


@pytest.fixture
def file(official, tmp_path):
    """A whole file, and the arrays of its averaged generator."""
    states, judge, arrays = STATES, JUDGE, generator()
    networks = {
        "G": official(generator(), states),
        "D": official(discriminator(), judge),
        "G_ema": official(arrays, states),
        "training_set_kwargs": None,
    }
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(networks, protocol=4))
    return path, arrays


@pytest.mark.slow
def test_a_run_from_weights(file, tmp_path, jaxgen_command):
    path, arrays = file
    out = jaxgen_command("import", path, f"--workdir={tmp_path / 'run'}").out
    assert f"{tmp_path / 'run'}" in out
    run = jaxgen.load(tmp_path / "run")
    assert run.spec.shape == (8, 8, 1) and run.spec.num_classes == CLASSES
    params = run.state.averaged().params["generator"]
    up = params["synthesis"]["up8"]["kernel"]
    expected = arrays["synthesis.b8.conv0.weight"].transpose(2, 3, 1, 0)[::-1, ::-1]
    np.testing.assert_allclose(up, expected, rtol=1e-6)
    mean = run.state.vars["generator"]["moments"]["mapping"]["mean"]
    np.testing.assert_allclose(mean, arrays["mapping.w_avg"], rtol=1e-6)
    assert run.sample(3, truncation=0.5, label=2).shape == (3, 8, 8, 1)
    err = jaxgen_command("import", path, f"--workdir={tmp_path / 'run'}", code=2).err
    assert "exists: give another --workdir" in err


def test_arrays_are_read_as_they_were_written(file):
    path, arrays = file
    found = read(path)["G_ema"].arrays()
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], np.asarray(value, np.float32))


def test_groups_of_none_are_the_whole_batch(file):
    networks = read(file[0])
    networks["D"].part("b4").part("mbstd").state["group_size"] = None
    config, _ = described(networks["G_ema"], networks["D"])
    assert config["model"]["discriminator"]["group"] is None


def cifar():
    """A discriminator of `--cfg=cifar`: without skips."""
    arrays = discriminator()
    del arrays["b8.skip.weight"]
    return arrays, JUDGE | {"b8.": {"architecture": "orig"}}


def state_of(networks):
    """What an import of them keeps."""
    config, spec = described(networks["G_ema"], networks.get("D"))
    return config, filled(state_target(config, spec, make_mesh())[1], networks)


def test_discriminators_without_skips(official, tmp_path):
    networks = {"G_ema": official(generator(), STATES), "D": official(*cifar())}
    path = tmp_path / "cifar.pkl"
    path.write_bytes(pickle.dumps(networks))
    config, state = state_of(read(path))
    judge = config["model"]["discriminator"]
    assert judge["residual"] is False and judge["clamp"] == 256.0
    assert config["model"]["generator"]["clamp"] == 256.0
    assert {"conv8", "down8"} < state.params["discriminator"].keys()
    assert "skip8" not in state.params["discriminator"]
    networks["D"].args[0]["state"]["_modules"]["b8"].args[0]["state"]["architecture"] = "skip"
    path.write_bytes(pickle.dumps(networks))
    with pytest.raises(ConfigError, match="architecture 'skip', expected orig or resnet"):
        state_of(read(path))


@pytest.mark.slow
def test_the_average_alone_suffices_for_sampling(official, tmp_path, jaxgen_command):
    arrays, path = generator(), tmp_path / "average.pkl"
    path.write_bytes(pickle.dumps({"G_ema": official(arrays, STATES)}))
    out = jaxgen_command("import", path, f"--workdir={tmp_path / 'run'}").out
    assert "holds no G and no D: the run samples, mixes and projects; its discriminator is" in out
    assert jaxgen.load(tmp_path / "run").sample(2, label=1).shape == (2, 8, 8, 1)


def test_networks_that_a_file_lacks(official, tmp_path):
    arrays, path = generator(), tmp_path / "average.pkl"
    path.write_bytes(pickle.dumps({"G_ema": official(arrays, STATES)}))
    _, state = state_of(read(path))
    expected = np.float32(arrays["synthesis.b4.const"]).transpose(1, 2, 0)
    for params in (state.params, state.ema):
        np.testing.assert_array_equal(params["generator"]["synthesis"]["constant"], expected)
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.params["discriminator"]))
    path.write_bytes(pickle.dumps({"G": official(arrays, STATES), "D": official(*cifar())}))
    with pytest.raises(ConfigError, match="holds no network G_ema, which is what one samples from"):
        import_pickle(path, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_dim": 2**60}, "z_dim is 1152921504606846976, expected 1..65536"),
        ({"z_dim": 2**16}, r"kernel is \(10, 5\), expected \(65541, 5\)"),
        ({"w_dim": True}, "w_dim is True"),
        ({"img_resolution": 2**15}, "img_resolution is 32768, expected 4..4096"),
        ({"img_resolution": 12}, "synthesis.b12.conv1.weight"),
        ({"img_channels": 3}, "expected"),
        ({"c_dim": 0}, "embed"),
        ({"c_dim": None}, "c_dim is None"),
        ({"_modules": 3}, "_modules is no dictionary"),
    ],
    ids=str,
)
def test_networks_that_are_not_what_they_say(changes, message, official, tmp_path):
    path = tmp_path / "odd.pkl"
    states = STATES | {"": OWN | changes}
    path.write_bytes(pickle.dumps({"G_ema": official(generator(), states)}))
    with pytest.raises(ConfigError, match=message) as error:
        import_pickle(path, tmp_path / "run")
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_a_file_that_runs_code_is_refused(tmp_path):
    path, mark = tmp_path / "evil.pkl", tmp_path / "mark"
    path.write_bytes(pickle.dumps({"G": Call(os.system, f"touch {mark}")}))
    with pytest.raises(ConfigError, match="the file asks for posix.system.*it is not run"):
        read(path)
    assert not mark.exists()


def test_code_inside_of_an_array_is_refused(names, tmp_path):
    load, mark = names("torch.storage", "_load_from_bytes"), tmp_path / "mark"
    inner = pickle.dumps(Call(os.system, f"touch {mark}"))
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"G": Call(load, inner)}))
    with pytest.raises(ConfigError, match="asks for posix.system"):
        read(path)
    assert not mark.exists()


def test_other_files(names, tmp_path, file):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"G": Call(names("dnnlib.tflib.network", "Network"))}))
    with pytest.raises(ConfigError, match="weights of the TensorFlow code; convert them"):
        read(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ConfigError, match="holds a list, expected a dictionary"):
        read(path)
    path.write_bytes(file[0].read_bytes()[:-100])
    with pytest.raises(ConfigError, match="x.pkl: the file is cut short"):
        read(path)
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "absent.pkl")
    path.write_bytes(pickle.dumps({"G": 1}))
    with pytest.raises(ConfigError, match="holds no network G_ema"):
        import_pickle(path, tmp_path / "run")


def test_an_array_beyond_its_storage(names, tmp_path):
    rebuild, load = (
        names("torch._utils", "_rebuild_tensor_v2"),
        names("torch.storage", "_load_from_bytes"),
    )
    storage = Call(load, saved(np.zeros(4, np.float32), names("torch", "FloatStorage")))
    path = tmp_path / "x.pkl"
    for offset, size, stride in ((0, (5,), (1,)), (1, (2, 2), (2, 1)), (0, (2,), (-1,))):
        path.write_bytes(pickle.dumps({"G": Call(rebuild, storage, offset, size, stride)}))
        with pytest.raises(ConfigError, match="an array reaches beyond its storage"):
            read(path)

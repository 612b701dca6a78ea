"""Exports: programs that run without jaxgen and give what the run gives, bit for bit."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from command import ROOT

import jaxgen
from jaxgen.calls import on_one_device
from jaxgen.config import ConfigError
from jaxgen.tools import exporting
from jaxgen.tools.exporting import export
from jaxgen.tools.loader import load

pytest.importorskip("flatbuffers")

ALONE = """
import json, sys
sys.modules["jaxgen"] = None  # importing it fails
sys.path.insert(0, {folder!r})
import numpy as np
from load import load
model = load({folder!r})
given = dict(np.load({given!r}))
out = {{}}
for name, function in model.items():
    own = {{k.partition("/")[2]: v for k, v in given.items() if k.startswith(name + "/")}}
    out |= {{f"{{name}}/{{k}}": np.asarray(v) for k, v in function(**own).items()}}
np.savez({out!r}, **out)
"""


@pytest.fixture(scope="module")
def exports(zoo, tmp_path_factory):
    """A folder of exports, made as users make them: jaxtyping takes no length that is a symbol."""
    folder = tmp_path_factory.mktemp("exports")
    runs = {name: str(zoo.run(name).workdir) for name in ("flow", "vae", "gan")}
    text = f"""
import jaxgen
from jaxgen.tools.exporting import export
for name, path in {runs}.items():
    export(jaxgen.load(path), f"{folder}/{{name}}")
export(jaxgen.load({runs["flow"]!r}), "{folder}/cold", temperature=0.5)
"""
    path = os.pathsep.join([str(ROOT), *sys.path])
    subprocess.run([sys.executable, "-c", text], check=True, env=os.environ | {"PYTHONPATH": path})
    return folder


@pytest.fixture
def exported(zoo, exports):
    """exported(name): a run of the zoo, its folder, and what that says of itself."""

    def found(name):
        folder = exports / name
        about = json.loads((folder / "signature.json").read_text())
        return jaxgen.load(zoo.run(name).workdir), folder, about

    return found


def run_alone(folder, given, tmp_path):
    """What the functions give in a process of their own, which has no jaxgen."""
    np.savez(tmp_path / "given.npz", **given)
    text = ALONE.format(
        folder=str(folder), given=str(tmp_path / "given.npz"), out=str(tmp_path / "out.npz")
    )
    subprocess.run([sys.executable, "-I", "-c", text], check=True, cwd=tmp_path)
    return dict(np.load(tmp_path / "out.npz"))


@pytest.mark.parametrize("name", ["flow", "vae", pytest.param("gan", marks=pytest.mark.slow)])
def test_without_jaxgen_bit_for_bit(exported, tmp_path, name):
    """Of seven examples, and samples that are those of `jaxgen sample`."""
    run, folder, about = exported(name)
    assert not about["not_available"] and "fixed_because" not in json.dumps(about)
    method, state = run.method, on_one_device(run.state)
    x, key, seed = run.sample(7), jax.random.key(5), np.array([0, 5], np.uint32)
    given = {"sample/num": np.zeros(run._calls.size, np.uint8), "sample/key": seed}
    wanted = {"sample/x": run.sample(run._calls.size, seed=5)}
    if name != "gan":
        z = jax.jit(method.encode)(state, x, key)
        given |= {"encode/x": x, "encode/key": seed, "log_prob/x": x, "log_prob/key": seed}
        wanted |= {f"encode/{k}": v for k, v in exporting._latents(z).items()}
        wanted["log_prob/log_prob"] = jax.jit(method.log_prob)(state, x, key)
    else:
        z = jax.jit(method.latents, static_argnums=1)(key, 7)
    given |= {f"decode/{k}": v for k, v in exporting._latents(z).items()}
    wanted["decode/x"] = jax.jit(method.decode)(state, z)
    found = run_alone(folder, given, tmp_path)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].dtype == np.asarray(value).dtype, key
        np.testing.assert_array_equal(found[key], value, key)


def test_what_the_signature_says(exported, tmp_path):
    _, folder, about = exported("vae")
    said = about["functions"]["log_prob"]
    assert said["arguments"][0] == {
        "name": "x",
        "shape": ["b", 8, 8, 1],
        "dtype": "uint8",
        "kind": "image",
        "range": [0, 1],
    }
    (result,) = said["results"]
    assert (result["shape"], result["units"], result["kind"]) == (["b"], "nats", "elbo")
    assert about["platforms"] == ["cpu", "cuda", "tpu"] and about["step"] == 20
    found = subprocess.run(["sha256sum", "--strict", "--check", "SHA256SUMS"], cwd=folder)
    assert found.returncode == 0
    files = {p.name for p in folder.iterdir()}
    assert files >= {"sample.bin", "load.py", "weights.safetensors", "README.md", "signature.json"}


def test_a_player_that_no_function_needs_is_left_out(exported):
    _, _, about = exported("gan")
    names = about["functions"]["sample"]["weights"]
    assert names and all(".generator." in n for n in names)


def test_calls_that_do_not_fit(exported):
    model = load(exported("vae")[1])
    with pytest.raises(TypeError, match="log_prob takes x, key; given: key"):
        model["log_prob"]()
    with pytest.raises(TypeError, match="given: key, x, y"):
        model["log_prob"](x=1, y=2)
    with pytest.raises(ValueError, match="shape"):
        model["log_prob"](x=np.zeros((2, 7, 8, 1)))


def test_knobs(exported, tmp_path):
    """A number is given at every call; another default is that of the command."""
    run, folder, _ = exported("flow")
    num = np.zeros(run._calls.size, np.uint8)
    model = load(folder)
    cold = run.sample(len(num), temperature=0.5)
    np.testing.assert_array_equal(model["sample"](num=num, temperature=0.5)["x"], cold)
    about = json.loads((folder.parent / "cold/signature.json").read_text())
    (said,) = (a for a in about["functions"]["sample"]["arguments"] if a["name"] == "temperature")
    assert said["default"] == 0.5
    with pytest.raises(ConfigError, match="no such knob 'temperatur'; did you mean 'temperature'"):
        export(run, tmp_path / "other", temperatur=0.5)
    with pytest.raises(ConfigError, match="exists: name another folder"):
        export(run, folder)
    assert not (tmp_path / "other").exists()


def test_a_batch_that_decides_what_is_traced(exported, tmp_path, monkeypatch):
    """Then it is of one size, and says so; what cannot be lowered at all is left out, and named."""
    run = exported("vae")[0]
    kind = type(run.method)
    log_prob = kind.log_prob

    def even(self, state, rng, num):
        shape = (num, *self.spec.shape)
        return jax.numpy.ones(shape) if num % 2 == 0 else jax.numpy.zeros(shape)

    def called_back(self, state, x, rng):
        y = log_prob(self, state, x, rng)
        return jax.pure_callback(lambda v: np.asarray(v), y, y)

    monkeypatch.setattr(kind, "sample", even)
    monkeypatch.setattr(kind, "log_prob", called_back)
    about = export(run, tmp_path / "x")
    said = about["functions"]["sample"]
    assert said["results"][0]["shape"] == [run._calls.size, 8, 8, 1]
    assert "with a symbol for the batch, x of 2 is another one" in said["fixed_because"]
    found = load(tmp_path / "x")["sample"](num=np.zeros(run._calls.size, np.uint8))["x"]
    np.testing.assert_array_equal(found, np.ones((run._calls.size, 8, 8, 1)))
    assert "log_prob" not in about["functions"] and "log_prob" in about["not_available"]


def test_without_flatbuffers(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs flatbuffers: pip install 'jaxgen\[export\]'"):
        export(exported("vae")[0], tmp_path / "x")


def test_the_command(zoo, tmp_path, jaxgen_command):
    out = jaxgen_command("export", zoo.run("gan").workdir, f"--out={tmp_path / 'x'}").out
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        "sample",
        "decode",
        "export of step 20",
    ]
    error = jaxgen_command("export", "x", f"--out={tmp_path / 'x'}", code=2).err
    assert "cannot be written: it exists: name another" in error

"""What a name in a config may reach: a run directory of a stranger must not run anything."""

import importlib
import json
import pathlib
import sys
import types

import pytest

import jaxgen
from jaxgen import names
from jaxgen.config import ConfigError
from jaxgen.types import DataSpec

ROOT = pathlib.Path(__file__).parents[1]


def tiny():
    """The config of `configs/glow.py:digits,tiny` as it is stored."""
    spec = importlib.util.spec_from_file_location("config_of_glow", ROOT / "configs" / "glow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return json.loads(json.dumps(module.get_config("digits,tiny").to_dict()))


@pytest.fixture
def stored(tmp_path):
    """stored(changes of the config's sections): a run directory without checkpoints."""

    def make(config=None, **sections):
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        (run / "config.json").write_text(json.dumps((config or tiny()) | sections))
        spec = DataSpec.of("digits", (8, 8, 1), 17, 10).as_json()
        manifest = {"data": {"spec": spec, "fingerprint": {}}}
        (run / "manifest.json").write_text(json.dumps(manifest))
        return run

    return make


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """A module that can be imported and leaves a file when it is."""
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "__init__.py").touch()
    (tmp_path / "strange" / "parts.py").write_text(
        "import pathlib, flax.linen as nn\n"
        f"pathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
        "class Net(nn.Module):\n    width: int = 1\n"
        "def build(**options):\n    raise AssertionError\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "mark"
    for name in ("strange", "strange.parts"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("verb", ["sample", "eval", "sweep", "calibrate", "evolve", "modes"])
def test_a_run_that_names_a_command_does_not_run_it(verb, stored, tmp_path, jaxgen_command):
    mark = tmp_path / "mark"
    run = stored(model={"name": "os:system", "command": f"touch {mark}"})
    err = jaxgen_command(verb, run, code=2).err
    assert err.count("\n") == 1 and "names 'os:system', which is not jaxgen's own" in err
    assert not mark.exists()


@pytest.mark.parametrize(
    "sections",
    [
        {"method": {"name": "os:system", "command": "true"}},
        {"model": {"model": {"name": "subprocess:Popen", "args": "true"}}},
        {"model": {"generator": {"name": "strange.parts:Net"}}},
        {"optim": {"model": {"name": "os:system", "learning_rate": 1.0}}},
        {"optim": {"model": {"name": "apply_updates", "learning_rate": 1.0}}},
        {"optim": {"model": 3}},
        {"ema": {"model": {"name": "os:system"}}},
        {"ema": {"model": [1]}},
        {"model": {"name": "flows.glow.jnp"}},
        {"model": {"name": "flows.glow.Conv"}},
        {"model": {"name": "flows.glow"}},
        {"model": {"name": "flows.glow.__loader__"}},
        {"model": {"name": "flows.glow.Glow.__init__"}},
        {"model": {"name": "flax.linen:Module"}},
        {"model": {"name": "jaxgen.session:execute"}},
        {"model": {"name": "jaxgen.weights.published:download"}},
        {"model": {"name": "../os.system"}},
        {"model": {"name": ""}},
        {"model": {"name": ["flows.glow.Glow"]}},
        {"model": {"name": None}},
        {"model": {"where": 1, "name": "flows.glow.Glow"}},
        {"model": {"name": "flows.glow.Glow", "depth": 1, "levels": 10**9}},
        {"model": {"name": "flows.glow.Glow", "depth": -1, "levels": "x"}},
        {"model": {}},
        {"method": {"name": "likelihood.dataclasses"}},
        {"method": {"name": "likelihood.Likelihood", "spec": 3}},
        {"method": {"name": "likelihood.Likelihood", "model": 3}},
        {"method": {"name": "adversarial.Array"}},
        {"method": {}},
        {"train": {"batch_size": "many"}},
        {"train": {}},
    ],
    ids=str,
)
def test_stored_configs_that_name_something_else(sections, stored, strange):
    with pytest.raises(ConfigError) as error:
        jaxgen.load(stored(**sections))
    assert "\n" not in str(error.value)
    assert "strange" not in sys.modules and not strange.exists()


def test_modules_are_allowed_one_by_one(strange):
    for allow in ((), ("other",), ("strange.part",), ("strange.parts.Net",)):
        with pytest.raises(ConfigError, match="trusted, add --allow=strange$"):
            names.resolve("strange.parts:Net", "jaxgen.models", allow)
        assert not strange.exists()
    found = names.resolve("strange.parts:Net", "jaxgen.models", ("strange",))
    assert found.__name__ == "Net" and strange.exists()
    assert names.resolve("strange.parts:Net", "jaxgen.models", None) is found
    with pytest.raises(ConfigError, match="'strange.parts:build' is no network.*has Net"):
        names.resolve("strange.parts:build", "jaxgen.models", None)
    with pytest.raises(ConfigError, match="is no network"):  # Flax's own class
        names.resolve("strange.parts:nn", "jaxgen.models", ("strange",))


def test_a_command_allows_modules(stored, strange, jaxgen_command):
    run = stored(model={"name": "strange.parts:Net", "depth": 1})
    assert "add --allow=strange" in jaxgen_command("sample", run, code=2).err
    err = jaxgen_command("sample", run, "--allow=other,strange", code=2).err
    assert strange.exists() and "unknown option of config.model 'depth'" in err
    assert "expected a module" in jaxgen_command("sample", run, "--allow=a b", code=2).err


def test_installed_packages_may_declare_themselves(strange, monkeypatch):
    entry = importlib.metadata.EntryPoint("any", "strange", "jaxgen.extensions")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (entry,))
    assert names.extensions() == ("strange",)
    assert names.resolve("strange.parts:Net", "jaxgen.models").__name__ == "Net"


def test_ones_own_config_names_anything_of_the_right_kind(monkeypatch):
    import flax.linen as nn

    own = types.ModuleType("own_networks")
    own.Net = type("Net", (nn.Module,), {"__module__": "elsewhere"})
    monkeypatch.setitem(sys.modules, "own_networks", own)
    assert names.resolve("own_networks:Net", "jaxgen.models", None) is own.Net
    with pytest.raises(ConfigError, match="is no objective"):
        names.resolve("own_networks:Net", "jaxgen.methods", None)
    with pytest.raises(ConfigError, match="no module own_network$"):
        names.resolve("own_network:Net", "jaxgen.models", None)


def test_misspelt_names_still_get_the_nearest():
    with pytest.raises(ConfigError, match="unknown module 'flows.glov': did you mean 'flows.glow'"):
        names.resolve("flows.glov.Glow", "jaxgen.models")
    with pytest.raises(ConfigError, match="'Glov': did you mean 'Glow'"):
        names.resolve("flows.glow.Glov", "jaxgen.models")


def test_training_takes_networks_of_ones_own(tmp_path, monkeypatch, data_root):
    from jaxgen import session
    from jaxgen.data import load

    (tmp_path / "own_flow.py").write_text(
        "from jaxgen.models.flows.glow import Glow\nclass Own(Glow):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(session, "build_program", lambda method, *_, **options: method)
    config = tiny()
    config["model"] = config["model"] | {"name": "own_flow:Own"}
    method, _ = session.prepare(config, load("digits", data_dir=str(data_root)))
    assert type(method.model).__name__ == "Own"

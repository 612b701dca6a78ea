"""The accelerator pack: both sides train the same network, and what was measured is kept."""

import importlib
import json
import sys

import jax
import numpy as np
import pytest
from command import ROOT

torch = pytest.importorskip("torch")
sys.path.insert(0, str(ROOT / "benchmarks"))

import accelerator  # noqa: E402
import accelerator_rows  # noqa: E402

from jaxgen.train.assemble import assemble  # noqa: E402

NETWORKS = ("glow", "stylegan2", "biggan", "nvae")
FULL = [pytest.param(name, False, id=f"{name}-full", marks=pytest.mark.slow) for name in NETWORKS]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "tiny"), [*((name, True) for name in NETWORKS), *FULL])
def test_the_networks_of_both_sides_have_as_many_parameters(name, tiny):
    config, spec, batch = accelerator_rows.sections(name, tiny)
    method, _, _ = assemble(config, spec)
    params, _ = jax.eval_shape(method.init, jax.random.key(0), spec.batch(batch))
    ours = {k: sum(leaf.size for leaf in jax.tree.leaves(v)) for k, v in params.items()}
    with torch.device("meta"):
        modules = importlib.import_module(f"peers.{name}").Peer(config, spec).modules
    assert {k: sum(p.numel() for p in m.parameters()) for k, m in modules.items()} == ours


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_pytorch_moves_every_parameter(name):
    config, spec, batch = accelerator_rows.sections(name, True)
    rng = np.random.RandomState(0)
    x = rng.randint(0, 256, (batch, *spec.shape)).astype(np.uint8)
    label = rng.randint(0, max(spec.num_classes, 1), batch)
    theirs = accelerator_rows.Torch(name, config, spec, x, label, "NCHW")
    named = [(n, p) for m in theirs.peer.modules.values() for n, p in m.named_parameters()]
    before = [p.detach().clone() for _, p in named]
    assert theirs.flops() > 0
    for _ in range(2):  # what is behind a layer of zeros waits for it
        theirs.run(1)
    still = [n for (n, p), b in zip(named, before, strict=True) if torch.equal(p, b)]
    assert not still
    assert all(torch.isfinite(p).all() for _, p in named)


def test_peaks_are_of_the_card_and_the_precision():
    assert accelerator_rows.peak("NVIDIA H100 80GB HBM3", "float32") == 67e12
    assert accelerator_rows.peak("NVIDIA H100 80GB HBM3", "tf32") == 495e12
    assert accelerator_rows.peak("NVIDIA A100-SXM4-40GB", "float32") == 19.5e12
    assert accelerator_rows.peak("cpu", "float32") is None


def test_a_row_that_fails_ends_no_other(tmp_path, monkeypatch, capsys):
    def spawn(name, arguments, seconds, part):
        if name == "biggan":
            return {"device": "card", "batch": 8, "jaxgen_ms": 3.0, "error": "out of memory"}
        return {
            "device": "card",
            "batch": 8,
            "jaxgen_ms": 3.0,
            "eager_ms": 6.0,
            "jaxgen/eager": 0.5,
        }

    monkeypatch.setattr(accelerator, "spawn", spawn)
    out = tmp_path / "a.json"
    assert accelerator.main([f"--out={out}", "--rows=glow,biggan,nvae"]) == 1
    found = json.loads(out.read_text())
    assert list(found["rows"]) == ["glow", "biggan", "nvae"]
    shown = capsys.readouterr().out
    assert "| nvae | 8 | 3.0 | 6.0 | - | **0.50** |" in shown
    assert "| biggan | 8 | 3.0 | - |" in shown and "biggan: error: out of memory" in shown


def test_a_row_that_is_stopped_keeps_what_it_wrote(tmp_path, monkeypatch):
    """The row's own file, written at every stage, is read after its process was killed."""
    code = "import sys, time, pathlib; out = [a[6:] for a in sys.argv if a.startswith('--out=')][0]"
    script = tmp_path / "row.py"
    script.write_text(f"{code}; pathlib.Path(out).write_text('{{\"batch\": 8}}'); time.sleep(60)")
    monkeypatch.setattr(accelerator, "__file__", str(script))
    arguments = accelerator.argparse.Namespace(
        precision="float32", train_seconds=1.0, tiny=True, data=None
    )
    row = accelerator.spawn("glow", arguments, 1, tmp_path / "part")
    assert row == {"batch": 8, "error": "stopped after its 1 s"}
    assert not (tmp_path / "part").exists()


@pytest.mark.slow
def test_the_whole_pack_on_cpu(tmp_path):
    """Nothing that the docstring does not name is imported; every row is whole."""
    names = "tensorflow_datasets grain array_record tensorboardX matplotlib tensorflow"
    blocked = tmp_path / "blocked"
    for name in names.split():
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('not on this machine')")
    command = [sys.executable, "benchmarks/accelerator.py", "--tiny", "--seconds=1500"]
    command.append(f"--out={tmp_path / 'a.json'}")
    env = accelerator_rows.os.environ | {"PYTHONPATH": f"{blocked}:{ROOT}"}
    accelerator.subprocess.run(command, cwd=ROOT, env=env, check=True)
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert set(rows) == set(accelerator.ROWS)
    for name in NETWORKS:
        assert rows[name]["parameters"] == rows[name]["torch_parameters"]
        assert rows[name]["jaxgen/eager"] > 0 and rows[name]["jaxgen/compiled"] > 0
    curve = rows["training"]["curve"]
    assert curve[-1]["test_bpd"] < curve[0]["test_bpd"] - 1

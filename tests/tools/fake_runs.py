"""Run directories as `jaxgen eval` leaves them, with invented numbers and small arrays."""

import json
import pathlib

import numpy as np

LABEL = "digits8-cnn64@ab12cd34"
DATA = {"name": "digits", "shape": [8, 8, 1], "levels": 17, "sha256": "d1" * 32}


def fingerprint(**changes):
    base = {
        "data": "digits",
        "data_sha256": "d1" * 32,
        "levels": 17,
        "split": "test",
        "extractor": "digits8-cnn64",
        "weights_sha256": "ab12cd34" * 8,
        "resize": "none",
        "num_real": 297,
        "num_generated": 2000,
    }
    return base | changes


def measurement(name, value, half=None, group="fidelity", better="lower", **more):
    low, high = (None, None) if half is None else (value - half, value + half)
    return {
        "name": name,
        "group": group,
        "value": value,
        "low": low,
        "high": high,
        "unit": more.pop("unit", ""),
        "better": better,
        "settings": more.pop("settings", {}),
        "fingerprint": more.pop("fingerprint", fingerprint()),
        "context": {"seed": 0, "step": 4000},
        "notes": more.pop("notes", []),
    }


def digits(model, count, seed=0):
    """[count, 8, 8, 1] levels 0 to 16: strokes that look a little like digits."""
    rng = np.random.default_rng(seed + sum(map(ord, model)))
    y, x = np.mgrid[:8, :8]
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    radius = rng.uniform(1.5, 3, (count, 1, 1))
    d = np.abs(np.hypot(y - 3.5 + np.sin(angle), (x - 3.5) * 1.4 + np.cos(angle)) - radius)
    ink = 16 * np.exp(-(d**2) * 1.5) + rng.normal(0, 0.7, d.shape)
    return np.clip(np.rint(ink), 0, 16).astype(np.int64)[..., None]


def run(path, quality=0.5, family="flows", knob="temperature", likelihood=True, changes=None):
    """Writes one run.

    Args:
        path: of the directory; its name is that of the model.
        quality: 0 to 1, moves all numbers.
        family: of the model.
        knob: of its sampler.
        likelihood: whether it has one.
        changes: of every fingerprint.
    """
    path = pathlib.Path(path)
    evaluation = path / "evaluation"
    evaluation.mkdir(parents=True)
    rng = np.random.default_rng(int(quality * 1000))
    base = fingerprint(**(changes or {}))
    found = _quality(quality, knob, base)
    if likelihood:
        bound = base | {"bound": "exact" if family == "flows" else "elbo", "draws": 1}
        value = 2.6 - 0.6 * quality
        found.append(
            measurement("bpd", value, 0.03, "likelihood", fingerprint=bound, unit="bits/dim")
        )
        values = {k: rng.gamma(12, value / 12, n) for k, n in (("train", 1500), ("test", 297))}
        np.savez(evaluation / "likelihood.npz", name="bpd", unit="bits/dim", **values)
    found += _cost(quality, base)
    data = DATA | ({"name": base["data"], "levels": base["levels"], "sha256": base["data_sha256"]})
    source = {
        "name": path.name,
        "kind": "run",
        "path": str(path),
        "family": family,
        "model": f"{family}.net.Net",
        "method": "likelihood.Likelihood",
        "config": {},
        "command": f"python -m jaxgen.main --config=configs/{path.name}.py",
        "step": 4000,
        "parameters": {"generator": 120_000},
        "data": data,
        "versions": {"python": "3.11.7", "jax": "0.10.2"},
        "device": "1 x cpu",
        "time": "2026-11-25T12:00:00Z",
    }
    write(evaluation / "measurements.json", {"source": source, "measurements": found})
    _arrays(evaluation, path.name)
    _training(path, quality, family)
    return path


def _quality(quality, knob, base):
    found = [
        measurement(
            f"fcd-{LABEL}",
            14 - 10 * quality,
            0.6,
            fingerprint=base,
            notes=["biased: 297 real examples"],
        ),
        measurement(f"kcd-{LABEL}", 0.4 - 0.3 * quality, 0.02, fingerprint=base),
        measurement(f"score-{LABEL}", 7 + 2 * quality, 0.1, better="higher", fingerprint=base),
        measurement("swd_8", 90 - 40 * quality, None, fingerprint=base),
    ]
    for at in (None, 0.5, 0.7, 0.9):
        settings = {} if at is None else {knob: at}
        strength = 1.0 if at is None else at
        precision = 0.55 + 0.3 * quality + 0.12 * (1 - strength)
        recall = 0.2 + 0.5 * strength * (0.6 + 0.4 * quality)
        for name, value, group in (
            ("precision", precision, "fidelity"),
            ("recall", recall, "diversity"),
            ("density", 0.2 + precision, "fidelity"),
            ("coverage", 0.15 + recall, "diversity"),
        ):
            k = base | {"k": 3 if name in ("precision", "recall") else 5}
            found.append(
                measurement(
                    f"{name}-{LABEL}",
                    value,
                    0.02,
                    group,
                    "higher",
                    settings=settings,
                    fingerprint=k,
                )
            )
        if at is not None:
            found.append(
                measurement(
                    f"fcd-{LABEL}",
                    14 - 10 * quality + 8 * (1 - at),
                    0.6,
                    settings=settings,
                    fingerprint=base,
                )
            )
    found.append(
        measurement(f"copying_ct-{LABEL}", -1 + quality, 1.9, "copying", "none", fingerprint=base)
    )
    return found


def _cost(quality, base):
    machine = {"device": "1 x cpu", "batch": 64}
    counts = {"parameters": 120_000 + int(1e6 * quality), "peak_bytes": 3.1e8 * (1 + quality)}
    return [
        measurement("parameters", counts["parameters"], None, "cost", fingerprint={}),
        measurement(
            "images_per_second",
            5000 - 4000 * quality,
            90,
            "cost",
            "higher",
            unit="images/s",
            fingerprint=machine,
        ),
        measurement(
            "step_seconds",
            0.02 + 0.1 * quality,
            0.001,
            "cost",
            unit="s",
            fingerprint=machine | {"data": base["data"]},
        ),
        measurement(
            "peak_bytes", counts["peak_bytes"], None, "cost", unit="bytes", fingerprint=machine
        ),
    ]


def _arrays(evaluation, name):
    x = digits(name, 64)
    np.savez(evaluation / "images.npz", x=x, levels=17)
    train = digits("train", 36, 1).reshape(12, 3, 8, 8, 1)
    distance = np.sort(np.random.default_rng(3).uniform(4, 20, (12, 3)), 1)
    np.savez(
        evaluation / "neighbours.npz",
        generated=x[:12],
        nearest=train,
        distance=distance,
        space="classifier features",
    )
    ends = x[:6, None].astype(float), x[6:12, None].astype(float)
    t = np.linspace(0, 1, 10).reshape(1, -1, 1, 1, 1)
    np.savez(evaluation / "interpolation.npz", x=np.rint(ends[0] * (1 - t) + ends[1] * t))
    test = digits("test", 16, 2)
    blurred = np.clip(np.rint(0.85 * test + 1), 0, 16).astype(int)
    np.savez(evaluation / "reconstruction.npz", data=test, reconstruction=blurred)


def _training(path, quality, family):
    config = {
        "seed": 0,
        "model": {"name": f"{family}.net.Net", "depth": 8} | ({family: True}),
        "optim": {"learning_rate": 0.001 if quality > 0.5 else 0.0003},
        "train": {"steps": 4000},
    }
    write(path / "config.json", config)
    manifest = {
        "command": f"python -m jaxgen.main --config=configs/{path.name}.py",
        "versions": {"python": "3.11.7", "jaxgen": "0.1.0", "jax": "0.10.2"},
        "devices": "1 x cpu",
        "seed": 0,
        "git_commit": "0" * 40,
        "data": {"fingerprint": {"splits": {"train": {"sha256": "d0" * 32}}}},
    }
    write(path / "manifest.json", manifest)
    rng = np.random.default_rng(int(quality * 100))
    lines = []
    for step in range(100, 4001, 100):
        loss = 2.6 - 0.6 * quality + 2 * np.exp(-step / 900) + rng.normal(0, 0.02)
        lines.append({"step": step, "split": "train", "loss": loss, "images_per_second": 900.0})
        if step % 500 == 0:
            lines.append({"step": step, "split": "eval_test", "bpd": loss + 0.05})
    lines.append({"step": 4000, "split": "train", "loss": "nan"})
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def of_points(path, spread=0.1, far=3):
    """Writes a run whose data are a ring of points; `far` of those generated are elsewhere."""
    path = run(path, family="gans", likelihood=False)
    evaluation = path / "evaluation"
    for name in ("images", "neighbours", "interpolation", "reconstruction"):
        (evaluation / f"{name}.npz").unlink()
    rng = np.random.default_rng(5)
    angle = rng.uniform(0, 2 * np.pi, (2, 500))
    ring = np.stack([np.cos(angle), np.sin(angle)], -1) + spread * rng.normal(size=(2, 500, 2))
    ring[1, :far] = 9
    np.savez(evaluation / "points.npz", real=ring[0], generated=ring[1], split="train")
    return path


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def four(root):
    """Four models: two alike in quality, one with another number of samples, one without bpd."""
    return [
        run(root / "glow", 0.5, "flows"),
        run(root / "vae", 0.2, "vaes"),
        run(root / "nvae", 0.55, "vaes"),
        run(root / "stylegan2", 0.8, "gans", "truncation", False, {"num_generated": 10_000}),
    ]

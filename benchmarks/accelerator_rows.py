"""The rows of `benchmarks/accelerator.py`: each is measured in a process of its own."""

from __future__ import annotations

import gc
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROWS = {  # config, shape of an image, classes, batch of one card; share of all seconds
    "glow": ("glow.py:cifar10", (32, 32, 3), 10, 64, 0.16),
    "stylegan2": ("stylegan2.py:ffhq256", (256, 256, 3), 0, 8, 0.17),
    "biggan": ("biggan.py:imagenet128", (128, 128, 3), 1000, 32, 0.16),
    "nvae": ("nvae.py:cifar10", (32, 32, 3), 10, 32, 0.2),
    "training": ("glow.py:cifar10", (32, 32, 3), 0, 64, 0.31),
}
TINY = {"glow": 8, "stylegan2": 8, "biggan": 8, "nvae": 8, "training": 8}  # batch
TINY_STEPS = 300  # of training, however slow the machine
TINY_SIDE = {"stylegan2": 16, "biggan": 16, "training": 16}
# FLOP/s of dense products: IEEE single precision outside of tensor cores, and TF32; data sheets
PEAKS = {
    "H200": (67e12, 495e12),
    "H100 80GB HBM3": (67e12, 495e12),
    "H100 PCIe": (51e12, 378e12),
    "H100 NVL": (60e12, 418e12),
    "A100": (19.5e12, 156e12),
    "A10": (31.2e12, 62.5e12),
    "L40S": (91.6e12, 183e12),
    "L4": (30.3e12, 60e12),
    "V100": (15.7e12, None),
    "T4": (8.1e12, None),
    "RTX 4090": (82.6e12, 82.6e12),
    "RTX 3090": (35.6e12, 35.6e12),
}


def peak(device: str, precision: str) -> float | None:
    """FLOP/s of the card called so, None where it is not in the table."""
    for name, (single, tf32) in PEAKS.items():
        if name in device:
            return tf32 if precision == "tf32" else single
    return None


def write(path: pathlib.Path, value: dict) -> None:
    """JSON in one go: a reader, or a cut, finds the old or the new file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(temporary, path)


def config_of(name: str):
    """The config of "FILE.py:ARG"."""
    import importlib.util

    path, _, argument = name.partition(":")
    found = importlib.util.spec_from_file_location(path[:-3], ROOT / "configs" / path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.get_config(argument)


def sections(name: str, tiny: bool):
    """The config, resolved, and the data set of a row."""
    from jaxgen.types import DataSpec

    path, shape, classes, batch, _ = ROWS[name]
    config = config_of(path + ",tiny" * tiny).to_dict()
    if tiny:
        side = TINY_SIDE.get(name, shape[0])
        shape, classes, batch = (side, side, shape[2]), min(classes, 10), TINY[name]
        if name == "biggan":  # as many halvings as the smaller image has
            config["model"]["generator"].update(multipliers=(4, 2, 1), attention=8, latent=12)
            config["model"]["discriminator"].update(multipliers=(1, 2, 4), attention=8)
    return config, DataSpec.of("noise", shape, 256, classes), batch


class Jaxgen:
    """jaxgen's side: the program of a training run, its state and its placed batch."""

    def __init__(self, config, spec, x, label):
        import jax
        import numpy as np

        from jaxgen.sharding import make_mesh
        from jaxgen.train.assemble import assemble
        from jaxgen.train.program import build_program, peak_bytes

        method, optimizers, _ = assemble(config, spec)
        batch = {"x": x} | ({"label": label.astype(np.int32)} if spec.num_classes else {})
        self.program = build_program(method, optimizers, {}, make_mesh(), batch, seed=0)
        self.counts = self.program.parameter_counts()
        start = time.perf_counter()
        self.compiled = self.program.compile()
        self.compile_seconds = time.perf_counter() - start
        cost = self.compiled.cost_analysis() or {}
        self.xla_flops, self.xla_bytes = cost.get("flops"), peak_bytes(self.compiled)
        self.state = self.program.init(batch)
        self.placed, self.one = self.program.put([batch]), np.int32(1)
        self.wait = jax.block_until_ready

    def run(self, steps):
        """So many steps, to their end."""
        for _ in range(steps):
            self.state, out = self.compiled(self.state, self.placed, self.program.rng, self.one)
        self.wait(out)

    def peak_bytes(self):
        """The device's largest use so far, None where it does not say."""
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


class Torch:
    """PyTorch's side, in the faster of two layouts of memory."""

    def __init__(self, name, config, spec, x, label, layout):
        import importlib

        import torch

        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(0)
        torch.set_default_device(self.device)
        self.peer = importlib.import_module(f"peers.{name}").Peer(config, spec)
        self.x = torch.from_numpy(x).permute(0, 3, 1, 2).to(self.device)
        self.x = self.x.contiguous()
        self.label, self.i = torch.from_numpy(label).to(self.device), 0
        self.counts = {
            k: sum(p.numel() for p in m.parameters()) for k, m in self.peer.modules.items()
        }
        if layout == "channels last":
            for module in self.peer.modules.values():
                module.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)

    def run(self, steps):
        """So many steps, to their end."""
        for _ in range(steps):
            self.peer.step(self.i, self.x, self.label)
            self.i += 1
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def flops(self):
        """Of convolutions and matrix products, a step, with all gradients."""
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils.flop_counter import flop_registry

        class Counter(TorchDispatchMode):  # FlopCounterMode fails on second derivatives
            total = 0

            def __torch_dispatch__(self, call, types, args=(), kwargs=None):
                out, kwargs = call(*args, **(kwargs or {})), kwargs or {}
                if count := flop_registry.get(call.overloadpacket):
                    self.total += count(*args, **kwargs, out_val=out)
                return out

        with Counter() as counter:
            self.run(self.peer.period)
        return counter.total / self.peer.period

    def peak_bytes(self):
        """The device's largest use since this was made, None on CPU."""
        return self.torch.cuda.max_memory_allocated() if self.device == "cuda" else None


def clock(run, steps):
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def alternate(runs, steps, seconds, least=3, most=31):
    """kind -> seconds a step, one entry a round, for so many seconds."""
    times, end = {kind: [] for kind in runs}, time.perf_counter() + seconds
    while len(times["jaxgen"]) < least or (
        time.perf_counter() < end and len(times["jaxgen"]) < most
    ):
        for kind, run in runs.items():
            times[kind].append(clock(run, steps))
    return times


def summary(times):
    """Medians in milliseconds, and of ratios of pairs."""
    found = {"rounds": len(times["jaxgen"])}
    for kind, values in times.items():
        found[f"{kind}_ms"] = 1000 * statistics.median(values)
        if kind != "jaxgen":
            pairs = [a / b for a, b in zip(times["jaxgen"], values, strict=True)]
            found[f"jaxgen/{kind}"] = statistics.median(pairs)
    return found


def start_row(precision, tiny):
    """Imports JAX and PyTorch with one meaning of float32; the device's name."""
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch wants room too
    if tiny:  # a try: compile fast
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    else:
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    from jaxgen.platform import set_defaults

    set_defaults()
    import jax
    import torch

    tf32 = precision == "tf32"
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "highest")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    if tiny:
        torch.set_num_threads(1)
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return jax.devices()[0].device_kind


def fastest(name, config, spec, x, label, tiny):
    """PyTorch's side in the faster layout, the layout, and seconds a step."""
    theirs, tried = None, {}
    for layout in ("channels last", "NCHW")[tiny:]:
        theirs = None  # before the next is made: the peak of memory is that of one
        theirs = Torch(name, config, spec, x, label, layout)
        theirs.run(theirs.peer.period)
        tried[layout] = clock(theirs.run, theirs.peer.period)
    layout = min(tried, key=tried.get)
    if layout == "channels last":
        theirs = None
        theirs = Torch(name, config, spec, x, label, layout)
        theirs.run(theirs.peer.period)
    return theirs, layout, tried[layout]


def measure(name, arguments):
    """A row of step times, written to its file at every stage."""
    import numpy as np

    began, budget = time.perf_counter(), arguments.seconds
    row = {
        "device": start_row(arguments.precision, arguments.tiny),
        "precision": arguments.precision,
    }
    config, spec, batch = sections(name, arguments.tiny)
    rng = np.random.RandomState(0)
    x = rng.randint(0, 256, (batch, *spec.shape)).astype(np.uint8)
    label = rng.randint(0, max(spec.num_classes, 1), batch)
    row |= {"config": ROWS[name][0], "shape": spec.shape, "batch": batch}
    ours = Jaxgen(config, spec, x, label)
    ours.run(1)
    row |= {"parameters": ours.counts, "compile_s": ours.compile_seconds}
    row |= {"jaxgen_bytes": ours.peak_bytes(), "xla_bytes": ours.xla_bytes}
    row["xla_flops_loops_once"] = ours.xla_flops
    write(arguments.out, row)

    theirs, layout, pace = fastest(name, config, spec, x, label, arguments.tiny)
    row |= {"layout": layout, "torch_bytes": theirs.peak_bytes(), "flops": theirs.flops()}
    row["torch_parameters"] = theirs.counts
    period = theirs.peer.period
    steps = period * max(1, round(0.1 / (pace * period)))
    runs = {"jaxgen": ours.run, "eager": theirs.run}
    spent = time.perf_counter() - began
    row |= summary(alternate(runs, steps, 0.25 * max(budget - spent, 0)))
    if limit := peak(row["device"], arguments.precision):
        row["share"] = row["flops"] / (row["jaxgen_ms"] / 1000) / limit
        row["torch_share"] = row["flops"] / (row["eager_ms"] / 1000) / limit
    write(arguments.out, row | {"compiled": "cut off: no time left"})

    options = {"backend": "eager"} if arguments.tiny else {}
    try:
        compiled = Torch(name, config, spec, x, label, layout)
        compiled.peer.compile(**options)
        start = time.perf_counter()
        compiled.run(period)
        row["torch_compile_s"] = time.perf_counter() - start
        runs["compiled"] = compiled.run
        left = budget - (time.perf_counter() - began)
        row |= summary(alternate(runs, steps, max(0.6 * left, 0), least=2))
    except Exception as error:  # what works depends on versions and compilers
        row["compiled"] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    write(arguments.out, row | {"whole": True})


def patches(data, shape):
    """Images to train on and held-out ones, uint8: of a file, or patches of two photographs."""
    import numpy as np

    if data:
        x = np.load(data)["x"]
        if x.dtype != np.uint8 or x.shape[1:] != shape:
            raise SystemExit(
                f"--data={data}: expected x uint8 [N, {shape}], got {x.dtype} {x.shape}"
            )
        order = np.random.RandomState(0).permutation(len(x))
        return x[order[len(x) // 10 :]], x[order[: len(x) // 10]]
    from sklearn.datasets import load_sample_images

    side, found = shape[0], ([], [])
    for photo in load_sample_images().images:  # [427, 640, 3]; the right fifth is held out
        cut = photo.shape[1] * 4 // 5
        for part, stride, kept in ((photo[:, :cut], 4, 0), (photo[:, cut:], side, 1)):
            for i in range(0, part.shape[0] - side + 1, stride):
                for j in range(0, part.shape[1] - side + 1, stride):
                    found[kept].append(part[i : i + side, j : j + side])
    return tuple(np.stack(images) for images in found)


def train(arguments):
    """Glow's recipe on real images until the budget ends, with its curve."""
    import jax
    import numpy as np

    began = time.perf_counter()
    row = {
        "device": start_row(arguments.precision, arguments.tiny),
        "precision": arguments.precision,
    }
    config, spec, batch = sections("training", arguments.tiny)
    train_x, test_x = patches(arguments.data, spec.shape)
    rng, half = np.random.RandomState(0), min(len(test_x), 8 * batch) // batch * batch
    test_x = test_x[rng.permutation(len(test_x))[:half]].reshape(-1, batch, *spec.shape)
    draw = lambda: train_x[rng.randint(0, len(train_x), batch)]  # noqa: E731
    ours = Jaxgen(config, spec, draw(), np.zeros(batch, np.int32))
    method, seen = ours.program.method, ours.program
    evaluate = jax.jit(lambda state, x, key: method.evaluate(state, {"x": x}, key)["bpd"])

    def held_out():
        values = [evaluate(ours.state, x, jax.random.key(i)) for i, x in enumerate(test_x)]
        return float(np.mean([np.mean(v) for v in values]))

    row |= {"config": ROWS["training"][0], "batch": batch, "compile_s": ours.compile_seconds}
    row |= {"images": len(train_x), "held_out": int(test_x.shape[0] * batch)}
    row["data"] = arguments.data or "patches of scikit-learn's two photographs"
    held_out()
    start, steps, end = time.perf_counter(), 0, began + arguments.seconds - 2
    end, due = min(end, start + arguments.train_seconds), 0.0
    curve, least = [], TINY_STEPS if arguments.tiny else 0
    while (now := time.perf_counter()) < end or steps < least:
        if now - start >= due:
            value = held_out()
            curve.append({"seconds": now - start, "step": steps, "test_bpd": value})
            write(arguments.out, row | {"curve": curve})
            due += arguments.train_seconds / 12
        ours.placed = seen.put([{"x": draw()}])
        ours.run(1)
        steps += 1
    seconds = time.perf_counter() - start
    curve.append({"seconds": seconds, "step": steps, "test_bpd": held_out()})
    row |= {"steps": steps, "images_per_second": steps * batch / seconds, "curve": curve}
    write(arguments.out, row | {"whole": True})


def run(arguments):
    """The row of `--row`."""
    if arguments.row == "training":
        return train(arguments)
    return measure(arguments.row, arguments)

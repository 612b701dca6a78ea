"""The formats that are read of strangers: a whole file, how it is damaged, and what reads it."""

import gzip
import io
import json
import pathlib
import pickle
import sys
import types

import mutations
import numpy as np
import PIL.Image

HERE = pathlib.Path(__file__).parent
DATA = HERE.parent / "data"
RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(256, size=(16, 12, 3)).astype(np.uint8)
SPEC = {"name": "x", "shape": [8, 8, 1], "levels": 17, "num_classes": 10, "entropy": None}


class _Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def _named(module, name):
    """Something that pickles as a name; it stays importable while the file is made."""

    def function(*_):
        raise AssertionError

    function.__module__, function.__qualname__ = module, name
    for path in (module.partition(".")[0], module):
        if not getattr(sys.modules.get(path), "fake", False):
            sys.modules[path] = types.ModuleType(path)
            sys.modules[path].fake = True
    setattr(sys.modules[module], name, function)
    return function


def weights():
    """Networks as NVIDIA's code pickles them, tiny."""
    known = dict(sys.modules)
    try:
        rebuild = _named("torch._utils", "_rebuild_tensor_v2")
        load = _named("torch.storage", "_load_from_bytes")
        module = _named("torch_utils.persistence", "_reconstruct_persistent_obj")
        kind = _named("torch", "FloatStorage")

        class Storages(pickle.Pickler):
            def persistent_id(self, value):
                if isinstance(value, np.ndarray):
                    return ("storage", kind, "0", "cpu", value.size, None)

        def tensor(x):
            out = io.BytesIO()
            for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
                pickle.dump(value, out, 2)
            Storages(out, 2).dump(x)
            pickle.dump(["0"], out, 2)
            out.write(x.size.to_bytes(8, "little") + x.tobytes())
            storage = _Call(load, out.getvalue())
            return _Call(rebuild, storage, 0, x.shape, tuple(s // 4 for s in x.strides), False, {})

        x = np.float32(RANDOM.randn(3, 4))
        inner = {"_parameters": {"weight": tensor(x), "bias": None}, "_buffers": {}, "size": 3}
        part = _Call(module, {"class_name": "Layer", "state": inner})
        state = {"_parameters": {}, "_buffers": {"w_avg": tensor(x[0])}, "_modules": {"a": part}}
        state |= {"z_dim": 4, "rate": 0.5, "names": {"a"}, "kind": (1, "b", None, [True])}
        whole = {"G_ema": _Call(module, {"class_name": "G", "module_src": "x", "state": state})}
        return pickle.dumps(whole, 4)
    finally:
        for name in set(sys.modules) - set(known):
            del sys.modules[name]
        sys.modules.update(known)


def _image(form, mode="RGB", **options):
    out = io.BytesIO()
    PIL.Image.fromarray(PIXELS).convert(mode).save(out, form, **options)
    return out.getvalue()


def _saved(save, *arguments, **arrays):
    out = io.BytesIO()
    save(out, *arguments, **arrays)
    return out.getvalue()


def _zip_of_images():
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(6):
            archive.writestr(f"{'ab'[i % 2]}/{i}.png", _image("PNG"))
    return out.getvalue()


def _table(rows=9):
    import pyarrow
    import pyarrow.parquet

    columns = {"a": RANDOM.randn(rows), "b": np.arange(rows), "c": RANDOM.rand(rows) > 0.5}
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def _config():
    import importlib.util

    spec = importlib.util.spec_from_file_location("glow", HERE.parents[1] / "configs" / "glow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return json.dumps(module.get_config("digits,tiny").to_dict()).encode()


def _manifest():
    splits = {"train": {"count": 3, "sha256": "ab"}}
    data = {"spec": SPEC, "fingerprint": {"name": "x", "splits": splits}}
    whole = {"command": "python -m jaxgen.main", "devices": "1 x cpu", "seed": 0, "data": data}
    return json.dumps(whole | {"resumed": [{"time": "now"}], "versions": {"jax": "1"}}).encode()


def _measurements():
    m = {"name": "fcd-digits8-cnn64@ab12cd34", "value": 1.5, "low": 1.0, "high": 2.0, "unit": ""}
    m |= {"better": "lower", "group": "fidelity", "notes": ["a"], "settings": {"temperature": 0.7}}
    m |= {"fingerprint": {"data": "x", "num_real": 5}, "context": {"seed": 0}}
    data = {"name": "x", "shape": [8, 8, 1], "levels": 17, "sha256": "ab" * 32}
    source = {"name": "glow", "kind": "run", "path": "/runs/glow", "model": "flows.glow.Glow"}
    source |= {"method": "likelihood", "config": {"seed": 0}, "step": 3, "parameters": {"model": 5}}
    source |= {"data": data, "versions": {"jax": "1"}, "device": "cpu", "time": "now"}
    return json.dumps({"source": source, "measurements": [m, m | {"name": "bpd"}]}).encode()


def _rows():
    rows = [{"step": i, "split": "train", "loss": 1.0 / i} for i in range(1, 6)]
    return "\n".join(json.dumps(row) for row in rows).encode()


def read_pickle(path):
    """As `jaxgen import` does."""
    from jaxgen.weights import pickles

    for value in pickles.read(path).values():
        if isinstance(value, pickles.Module):
            value.arrays()


def read_torch(path):
    """As published weights are."""
    from jaxgen.data import torch_file

    torch_file.read(path)


def read_data(path):
    """As data of one's own."""
    import jaxgen.data

    jaxgen.data.load(str(path))


def read_image(path):
    """Header and pixels."""
    from jaxgen.data import images

    images.kind(path, str(path))
    images.decode(path, str(path))


def read_idx(path):
    """One file of MNIST."""
    from jaxgen.data import idx

    idx.read(path, 3)


def read_config(path):
    """A run's config, up to its networks and objective; tracing them is for the long test."""
    from jaxgen.config import check_sections
    from jaxgen.names import build_method
    from jaxgen.stored import check_sizes, data_options, read_json
    from jaxgen.types import DataSpec

    config = read_json(path)
    check_sections(config)
    check_sizes(config["model"])
    data_options(config["data"])
    build_method(config, DataSpec.of("x", (8, 8, 1), 17, 10))


def read_manifest(path):
    """The data of a run."""
    from jaxgen.rundir import RunDir

    RunDir(path.parent).spec()


def read_rows(path):
    """The metrics of a run."""
    from jaxgen import rows

    rows.read(path, lambda text: None)


def read_page(path):
    """A measured run, and the page of it."""
    from jaxgen.report.page import page
    from jaxgen.report.records import entries

    page(entries([str(path.parents[1])]), "now")


def _arrays_of_a_page():
    grey = RANDOM.randint(17, size=(4, 5, 5, 1)).astype(np.uint8)
    near = np.stack([grey, grey[::-1]], 1)
    return _saved(np.savez, generated=grey, nearest=near, distance=RANDOM.rand(4, 2), levels=17)


def read_arrays(path):
    """A measured run with these arrays of any kind."""
    from jaxgen.report.records import ARRAYS

    if not (path.parent / "measurements.json").exists():
        (path.parent / "measurements.json").write_bytes(_measurements())
        with np.load(io.BytesIO(_arrays_of_a_page())) as whole:
            rows = {"x": whole["generated"], "data": whole["generated"], "train": whole["distance"]}
            rows |= {"reconstruction": whole["generated"], "generated": whole["distance"]}
        for kind in ARRAYS:
            if kind != "neighbours":
                np.savez(path.with_name(f"{kind}.npz"), real=rows["train"], **rows)
    read_page(path)


FORMATS = {  # name -> (name of the file, its content, its damage, its reader)
    "pkl": ("a.pkl", weights, mutations.odd_pickle, read_pickle),
    "pth in a row": (
        "a.pth",
        (DATA / "torch_row.pth").read_bytes,
        mutations.odd_pickle,
        read_torch,
    ),
    "pth in a zip": (
        "a.pth",
        (DATA / "torch_zip.pth").read_bytes,
        mutations.odd_zip(mutations.odd_pickle),
        read_torch,
    ),
    "npy": (
        "a.npy",
        lambda: _saved(np.save, PIXELS[None].repeat(4, 0)),
        mutations.odd_array,
        read_data,
    ),
    "npz": (
        "a.npz",
        lambda: _saved(np.savez, x=RANDOM.randn(4, 3), y=np.arange(4)),
        mutations.odd_zip(mutations.odd_array),
        read_data,
    ),
    "png": ("a.png", lambda: _image("PNG"), mutations.odd_png, read_image),
    "png of a palette": ("a.png", lambda: _image("PNG", "P"), mutations.odd_png, read_image),
    "jpeg": ("a.jpg", lambda: _image("JPEG"), mutations.damaged, read_image),
    "tiff": ("a.tif", lambda: _image("TIFF"), mutations.damaged, read_image),
    "deflated tiff": (
        "a.tif",
        lambda: _image("TIFF", compression="tiff_deflate"),
        mutations.damaged,
        read_image,
    ),
    "bmp": ("a.bmp", lambda: _image("BMP"), mutations.damaged, read_image),
    "webp": ("a.webp", lambda: _image("WEBP"), mutations.damaged, read_image),
    "zip": ("a.zip", _zip_of_images, mutations.odd_zip(mutations.odd_png), read_data),
    "idx": (
        "a.gz",
        lambda: gzip.compress(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(24)),
        lambda raw, random: (
            mutations.damaged(raw, random)
            if random.random() < 0.5
            else gzip.compress(mutations.damaged(gzip.decompress(raw), random))
        ),
        read_idx,
    ),
    "csv": (
        "a.csv",
        lambda: b"a,b,c\n" + b"".join(b"%d,%d.5,-1e3\n" % (i, i) for i in range(30)),
        mutations.damaged,
        read_data,
    ),
    "parquet": ("a.parquet", _table, mutations.damaged, read_data),
    "config": ("config.json", _config, mutations.odd_json, read_config),
    "manifest": ("manifest.json", _manifest, mutations.odd_json, read_manifest),
    "metrics": ("metrics.jsonl", _rows, mutations.odd_lines, read_rows),
    "arrays of a page": (
        "glow/evaluation/neighbours.npz",
        _arrays_of_a_page,
        mutations.odd_zip(mutations.odd_array),
        read_arrays,
    ),
    "measurements": (
        "glow/evaluation/measurements.json",
        _measurements,
        mutations.odd_json,
        read_page,
    ),
}

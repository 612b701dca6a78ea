"""Eight fake CPU devices, a cache of what jobs compile, and strict defaults for every test."""

import functools
import gc
import os
import pathlib
import warnings
from importlib import metadata

os.environ["JAX_PLATFORMS"] = "cpu"
# The threads of OpenBLAS wait busily: two workers on two cores took six times the processor time.
# Plugins of pytest have imported NumPy by now, so that it is told below; SciPy and jobs read this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Jobs compile the same programs again and again. The tests themselves do so rarely, and to look up
# and store each takes an eighth of their time: they join where a cache is named, and may be warm.
NAMED = "JAX_COMPILATION_CACHE_DIR" in os.environ
CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Compiling is most of what these tests do: it takes less without LLVM's optimisation and, in
# jaxlib 0.10 alone, with the emitters of old. XLA_FLAGS= tests what users run.
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
if metadata.version("jaxlib").startswith("0.10."):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", FLAGS)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jaxtyping  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import pytest  # noqa: E402
import threadpoolctl  # noqa: E402
from absl import flags, logging  # noqa: E402
from absl.testing import flagsaver  # noqa: E402
from command import ROOT, Starter  # noqa: E402
from jax._src.interpreters import mlir  # noqa: E402
from zoo import Zoo  # noqa: E402

threadpoolctl.threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), "blas")
gc.set_threshold(100_000, 20, 20)  # tracing makes many objects, and JAX joins in every collection
if not NAMED:
    jax.config.update("jax_enable_compilation_cache", False)
# JAX makes a context of MLIR for every program, of one sum too, and loads all dialects into it: a
# fifth of these tests' time, and most of their memory. One serves them all; jobs keep JAX's way.
if hasattr(mlir, "make_ir_context"):
    mlir.make_ir_context = functools.cache(mlir.make_ir_context)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
CHECKED = ["jaxgen.ops", "jaxgen.bijectors", "jaxgen.models"]  # shapes, at every call
# not of conv: a field of Flax's Conv has a protocol that cannot be checked
CHECKED += [f"jaxgen.nn.{name}" for name in ("batch_norm", "classifier", "gan_layers", "inception")]
CHECKED += [
    f"jaxgen.nn.{name}" for name in ("latents", "nvae_cells", "spectral", "stylegan", "vgg")
]
CHECKED += ["jaxgen.nn.codebook", "jaxgen.nn.codes", "jaxgen.nn.spectral_norm"]
jaxtyping.install_import_hook(CHECKED, "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def _absl():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    logging.set_verbosity(logging.ERROR)
    jnp.zeros(()).block_until_ready()  # what compiling loads into the context, before any thread


@pytest.fixture(scope="session")
def session_root(tmp_path_factory):
    """A folder of this session that all workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def data_root(session_root):
    """Where the embedded data are prepared, once for all workers."""
    return session_root / "prepared"


@pytest.fixture(scope="session")
def digits_classifier(data_root):
    """The embedded extractor of digits, of a short training, once for all workers."""
    from jaxgen.data import load
    from jaxgen.evaluate.extractors import classifier

    digits = load("digits", data_dir=str(data_root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "EPOCHS", 0)
        patch.setattr(classifier, "FEWEST_STEPS", 200)
        return classifier.trained(digits, str(data_root))


@pytest.fixture(scope="session")
def starter(tmp_path_factory, data_root):
    """Starts `python -m jaxgen.main` in processes of its own."""
    starter = Starter(tmp_path_factory.mktemp("output"), JAXGEN_DATA_DIR=str(data_root))
    yield starter
    starter.close()


@pytest.fixture(scope="session")
def zoo(session_root, starter):
    """Finished tiny runs, each trained once for all workers."""
    return Zoo(session_root / "zoo", starter)


@pytest.fixture
def write_images():
    """write_images(folder, count=20, size=(8, 8)): grey images of random pixels."""

    def write(folder, count=20, size=(8, 8)):
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(0).randint(256, size=(count, *size)).astype(np.uint8)
        for i, image in enumerate(pixels):
            PIL.Image.fromarray(image).save(folder / f"{i:03}.png")

    return write


@pytest.fixture
def jaxgen_command(data_root, monkeypatch, capsys):
    """jaxgen_command(*argv): what `jaxgen *argv` prints, in this process."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    monkeypatch.chdir(ROOT)

    def call(*argv, code=None):
        from jaxgen import cli

        if code is None:
            cli.main([str(a) for a in argv])
        else:
            with pytest.raises(SystemExit) as end:
                cli.main([str(a) for a in argv])
            assert end.value.code == code
        return capsys.readouterr()

    return call


@pytest.fixture
def refused(data_root, monkeypatch, capsys):
    """refused(*argv): the line with which `python -m jaxgen.main *argv` ends, in this process."""
    import grain  # noqa: F401  defines flags, which are not of the commands below

    from jaxgen import main
    from jaxgen.boundary import guarded

    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    monkeypatch.chdir(ROOT)

    def call(*argv):
        monkeypatch.setattr("sys.argv", ["main", *map(str, argv)])
        # without the fields of another test's config, which parsing adds to the flags
        with flagsaver.flagsaver(), warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.simplefilter("ignore", DeprecationWarning)  # of how absl loads a config
            guarded(main.main)
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("jaxgen: error: ") and error.count("\n") == 1, error
        return error.removeprefix("jaxgen: error: ").rstrip("\n")

    return call

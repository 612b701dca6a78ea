"""Eight fake CPU devices, a shared compilation cache, and strict defaults for every test."""

import os
import pathlib

os.environ["JAX_PLATFORMS"] = "cpu"
CACHE = pathlib.Path(__file__).parent.parent / ".jax_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# LLVM without optimisation: compiling is most of what these tests do, and takes half the time
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402
from absl import flags, logging  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jaxtyping.install_import_hook(["jaxgen.ops", "jaxgen.bijectors"], "beartype.beartype")


@pytest.fixture(scope="session", autouse=True)
def _absl():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    logging.set_verbosity(logging.ERROR)

"""Checkpoints: nothing that was damaged restores, and nothing that is whole is lost."""

import contextlib
import errno
import gc
import json
import pathlib
import re
import shutil
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen.sharding import make_mesh
from jaxgen.train import faults, integrity
from jaxgen.train.checkpoint import CheckpointError, Checkpoints
from jaxgen.train.integrity import fingerprint, state_digest
from jaxgen.types import State

# a restore that fails leaves orbax's coroutines to the garbage collector, which complains
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def _collect():
    yield
    gc.collect()


def make_state(step: int) -> State:
    random = np.random.RandomState(step)
    kernel = random.randn(24, 64).astype(np.float32)  # too large for orbax's index
    params = {"model": {"kernel": kernel, "low": random.randn(4).astype(jnp.bfloat16)}}
    state = State(
        step=np.int32(step),
        params=params,
        vars={"model": {"mask": np.array([True, False, True]), "count": np.arange(3, dtype="i4")}},
        opt={"model": optax.adam(1e-3).init(params["model"])},
        ema=params,
    )
    return jax.tree.map(jnp.asarray, state)


def progress(step: int) -> dict:
    return {"batch": step + 5, "skipped": [step], "best": 1.25}


def compiled_fingerprint(tree):
    """As of a state that is too large for NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integrity, "FEW_BYTES", -1)
        return fingerprint(tree)


TARGET = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), make_state(0)
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    """A directory with the checkpoints 1 and 2; tests work on copies."""
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    manager = Checkpoints(directory)
    for step in (1, 2):
        manager.save(step, make_state(step), progress(step), score=10.0 - step)
    manager.wait()
    manager.close()
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


@contextlib.contextmanager
def opened(directory, **options):
    """A manager, and what it has said."""
    said: list[str] = []
    manager = Checkpoints(directory, say=said.append, **options)
    yield manager, said
    manager.close()


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and np.asarray(x).tobytes() == np.asarray(y).tobytes()


def assert_restores(directory, step: int) -> list[str]:
    """Restores exactly checkpoint `step`; returns what was said."""
    with opened(directory) as (manager, said):
        found, state, where = manager.restore(TARGET)
        assert found == step and where == progress(step)
        assert_same(state, make_state(step))
        return said


def flip(path: pathlib.Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


BASE = make_state(3)
LEAVES = jax.tree.leaves(BASE)


def with_bit(leaf, bit: int):
    array = np.array(leaf)
    array.reshape(-1).view(np.uint8)[bit // 8] ^= np.uint8(1 << bit % 8)
    return jnp.asarray(array)


def replaced(i: int, leaf):
    return jax.tree.unflatten(jax.tree.structure(BASE), [*LEAVES[:i], leaf, *LEAVES[i + 1 :]])


@pytest.mark.parametrize("of", [fingerprint, compiled_fingerprint, state_digest])
def test_any_flipped_bit_changes_the_checksum(of):
    before = of(BASE)
    assert of(make_state(3)) == before
    for i, leaf in enumerate(LEAVES):
        bits = 8 * leaf.nbytes
        stride = 8 if leaf.dtype == bool else bits // 64 | 1  # odd: all bits of a byte come up
        for bit in range(0, bits, stride):
            assert of(replaced(i, with_bit(leaf, bit))) != before, (i, bit)


@pytest.mark.parametrize("of", [fingerprint, compiled_fingerprint, state_digest])
@pytest.mark.parametrize(
    "values", [[1.0, -1.0], [0.0, -0.0], [2.0, 1.0], [0.5, -0.5]], ids=lambda v: f"{v[0]},{v[1]}"
)
@pytest.mark.parametrize("apart", [1, 2, 256])
def test_an_exchange_of_two_elements_changes_the_checksum(of, values, apart):
    """Signs and powers of two differ in high bits alone, where a weighted sum is blind."""
    array = np.zeros(300, np.float32)
    array[[3, 3 + apart]] = values
    exchanged = array.copy()
    exchanged[[3, 3 + apart]] = values[::-1]
    assert of({"w": jnp.asarray(array)}) != of({"w": jnp.asarray(exchanged)})


@pytest.mark.parametrize("of", [fingerprint, compiled_fingerprint, state_digest])
@pytest.mark.parametrize("spec", [(), ("data",), (None, "fsdp"), ("fsdp", "data")], ids=str)
def test_checksums_do_not_depend_on_the_sharding(of, spec):
    mesh = make_mesh(data=4, fsdp=2)
    x = jax.random.normal(jax.random.key(0), (8, 16))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
    assert of({"w": sharded}) == of({"w": x})


def test_small_and_large_states_have_the_same_checksums():
    tree = {"state": make_state(5), "none": jnp.zeros((0, 3)), "host": np.ones((2, 3), np.float32)}
    assert fingerprint(tree) == compiled_fingerprint(tree)


def test_digest_tells_names_types_and_shapes_apart():
    zeros = [jnp.zeros(4), jnp.zeros((2, 2)), jnp.zeros(4, jnp.int32), jnp.zeros(8, jnp.bfloat16)]
    trees = [{"w": x} for x in zeros] + [{"v": zeros[0]}]
    assert len({state_digest(t) for t in trees}) == 5


def test_round_trip_is_bitwise(copy):
    assert assert_restores(copy, 2) == []


def test_round_trip_onto_another_sharding(copy):
    mesh = make_mesh(data=4, fsdp=2)

    def place(x):
        split = "fsdp" if x.ndim == 2 else None
        where = NamedSharding(mesh, PartitionSpec(*(None,) * (x.ndim - 1), *[split] * (x.ndim > 0)))
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)

    with opened(copy) as (manager, _):
        _, state, _ = manager.restore(jax.tree.map(place, TARGET))
    assert_same(jax.device_get(state), jax.device_get(make_state(2)))
    assert "fsdp" in state.params["model"]["kernel"].sharding.spec


KINDS = {  # of file -> what a flipped bit may lead to
    "_CHECKPOINT_METADATA": {2},
    "commit_success.txt": {2},
    "integrity/metadata": {1},
    "progress/metadata": {1},
    "state/_METADATA": {1, 2},
    "state/_sharding": {2},
    "state/array_metadatas/process_0": {1, 2},
    "state/d/*": {1},
    "state/manifest.ocdbt": {1},
    "state/ocdbt.process_0/d/*": {1},  # the largest: numbers, for which orbax has no checksum
    "state/ocdbt.process_0/manifest.ocdbt": {2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", [0.2, 0.5, 0.83])
def test_a_flipped_bit_never_restores_wrong(copy, kind, where):
    """Either the checkpoint is not read from that place, or the one before is used."""
    path = max(copy.glob(f"2/{kind}"), key=lambda p: p.stat().st_size, default=None)
    if path is None:
        pytest.skip("this version of orbax writes no such file")
    flip(path, int(where * 8 * path.stat().st_size))
    with opened(copy) as (manager, said):
        found, state, position = manager.restore(TARGET)
    assert found in KINDS[kind] and position == progress(found)
    assert_same(state, make_state(found))
    assert bool(said) == (found == 1)
    if kind == "state/ocdbt.process_0/d/*":
        assert re.search("checksum of (params|ema)/model/kernel is wrong", said[0])


def test_the_kinds_of_files_are_all_that_there_are(saved):
    files = {p for p in (saved / "2").rglob("*") if p.is_file()}
    known = {p for kind in KINDS for p in (saved / "2").glob(kind)}
    inner = {p for p in files if p.parent.parent == saved / "2" and "commit" in p.name}
    assert files - known - inner == set()


def test_every_bit_of_the_data_position_is_watched(copy):
    path = copy / "2/progress/metadata"
    text = path.read_text()
    assert '"batch": 7' in text
    path.write_text(text.replace('"batch": 7', '"batch": 3'))
    assert "damaged" in assert_restores(copy, 1)[0]


LANDED = pathlib.Path(__file__).parents[1] / "fixtures/landed/finished/checkpoints"


@pytest.fixture
def landed(tmp_path):
    """The checkpoints of a version whose scores were files, of steps 10 and 20."""
    return pathlib.Path(shutil.copytree(LANDED, tmp_path / "landed"))


BAD_SCORES = [
    "",
    "{",
    "\x00",
    '{"scorf": 1.0}',
    '{"score": []}',
    "[]",
    '{"score": 1.0}',
    "[" * 9999,
]


@pytest.mark.parametrize("text", BAD_SCORES)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_score_counts_not_and_stays_where_it_is(landed, text, read_only):
    """One that is lower than the lowest so far, which is sealed, is damaged too."""
    path = landed / "20/metrics/metrics"
    path.write_text(text)
    with opened(landed, read_only=read_only) as (manager, said):
        assert manager.best_step() == 10
    assert said == [f"{path} is damaged: the score of step 20 does not count"]
    assert path.read_text() == text


def test_scores_of_the_landed_version_count(landed):
    with opened(landed) as (manager, said):
        assert manager.best_step() == 20 and said == []


def test_every_score_is_sealed(copy):
    path = copy / "1/integrity/metadata"
    path.write_text(path.read_text().replace('"score": 9.0', '"score": 1.0'))
    with opened(copy) as (manager, _):
        assert manager.best_step() == 2


@pytest.mark.parametrize("damage", ["truncate", "empty", "delete"])
def test_falls_back_says_so_and_sets_aside(copy, damage):
    data = max(copy.glob("2/state/**/d/*"), key=lambda p: p.stat().st_size)
    if damage == "delete":
        shutil.rmtree(copy / "2/state")
    else:
        data.write_bytes(data.read_bytes()[: 3000 if damage == "truncate" else 0])
    (said,) = assert_restores(copy, 1)
    assert said.startswith("checkpoint of step 2 is damaged (")
    assert said.endswith(f"; set aside as {copy}/corrupt-2, using the one before")
    assert (copy / "corrupt-2").is_dir() and not (copy / "2").exists()


def test_a_damaged_step_can_be_saved_again_and_damaged_again(copy):
    """What was set aside before stays, too."""
    for aside in ("corrupt-2", "corrupt-2.2"):
        shutil.rmtree(copy / "2/state")
        (copy / "2/mark").write_text(aside)
        with opened(copy) as (manager, said):
            assert manager.restore(TARGET)[0] == 1
            assert len(said) == 1 and manager.steps() == [1]
            manager.save(2, make_state(2), progress(2), score=8.0)
            manager.wait()
        assert assert_restores(copy, 2) == []
    for aside in ("corrupt-2", "corrupt-2.2"):
        assert (copy / aside / "mark").read_text() == aside


def listing(directory):
    found = sorted(directory.rglob("*"))
    return {p: p.read_bytes() if p.is_file() and not p.is_symlink() else None for p in found}


@pytest.mark.parametrize("read_only", [True, False])
def test_all_damaged_is_an_error_and_nothing_is_set_aside(copy, read_only):
    for step in (1, 2):
        shutil.rmtree(copy / f"{step}/state")
    before = listing(copy)
    with opened(copy, read_only=read_only) as (manager, said):
        with pytest.raises(CheckpointError) as caught:
            manager.restore(TARGET)
        assert said == []
    assert listing(copy) == before
    for part in (
        "no checkpoint in",
        "of step 2: ",
        "of step 1: ",
        "nothing was changed",
        "--restart",
    ):
        assert part in str(caught.value)


def test_a_copy_under_another_step_is_recognised(copy, landed):
    """By the sealed step; of the landed version, by the step of the state itself."""
    shutil.copytree(copy / "1", copy / "99")
    (said,) = assert_restores(copy, 2)
    assert "checkpoint of step 99 is damaged (it is that of step 1); set aside as " in said
    assert (copy / "corrupt-99").is_dir()
    shutil.copytree(copy / "1", copy / "99")
    with opened(copy) as (manager, _):
        assert manager.best_step() == 2
        with pytest.raises(CheckpointError, match="99 is damaged: it is that of step 1"):
            manager.restore_step(99, TARGET)


def loop(path):
    """Opening it fails, even for root."""
    path.unlink()
    path.symlink_to(path.name)


def unreadable_inside(path):
    """It opens, and reading it is an error of input and output, even for root."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def unmounted(path):
    path.unlink()
    path.symlink_to("/no/such/mount/file")


@pytest.mark.parametrize("how", [loop, unreadable_inside, unmounted])
@pytest.mark.parametrize("kind", ["integrity/metadata", "progress/metadata", "state/_METADATA",
                                  "state/manifest.ocdbt", "state/ocdbt.process_0/d/*"])  # fmt: skip
@pytest.mark.parametrize("read_only", [True, False])
def test_what_cannot_be_read_is_an_error_and_not_damage(copy, how, kind, read_only):
    how(max(copy.glob(f"2/{kind}"), key=lambda p: p.stat().st_size))
    before = listing(copy)
    with opened(copy, read_only=read_only) as (manager, said):
        with pytest.raises(CheckpointError) as caught:
            manager.restore(TARGET)
        with pytest.raises(CheckpointError, match="cannot be read"):
            manager.restore_step(2, TARGET)
        assert said == [] and manager.steps() == [1, 2]
    message = str(caught.value)
    assert message.startswith(f"checkpoint {copy}/2 cannot be read: ")
    assert f"or move {copy}/2 away to go on from that of step 1" in message
    assert "\n" not in message and listing(copy) == before


SYSTEM_ERRORS = [
    PermissionError(errno.EACCES, "Permission denied", "/x"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.EMFILE, "Too many open files"),
    TimeoutError(errno.ETIMEDOUT, "timed out"),
    MemoryError(),
    ValueError("PERMISSION_DENIED: Error opening zarr driver: Error reading local file"),
    ValueError('UNKNOWN: Error reading "x" [OS error 5: EIO Input/output error] [source]'),
    ValueError("OUT_OF_RANGE: Error reading: Too many open files [os_error_code='24']"),
    ValueError("ABORTED: Error reading local file [OS error 116: ESTALE Stale file handle]"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4096 bytes."),
    Exception("UNAVAILABLE: connection to storage.googleapis.com"),
]


@pytest.mark.parametrize("error", SYSTEM_ERRORS, ids=lambda e: f"{type(e).__name__}: {e}"[:40])
@pytest.mark.parametrize("wrapped", [False, True])
def test_errors_of_the_system_are_not_damage(copy, monkeypatch, error, wrapped):
    def fail(*args, **kwargs):
        if not wrapped:
            raise error
        raise ValueError("could not restore the item state") from error

    before = listing(copy)
    with opened(copy) as (manager, said):
        monkeypatch.setattr(manager._manager, "restore", fail)
        with pytest.raises(CheckpointError, match="cannot be read: "):
            manager.restore(TARGET)
        assert said == [] and listing(copy) == before


def test_an_error_that_passes_is_none(copy, monkeypatch):
    """What nobody knows the meaning of is tried again before it counts as damage."""
    with opened(copy) as (manager, said):
        restore, tries = manager._manager.restore, []

        def once(*args, **kwargs):
            tries.append(args)
            if len(tries) == 1:
                raise ValueError("something odd")
            return restore(*args, **kwargs)

        monkeypatch.setattr(manager._manager, "restore", once)
        assert manager.restore(TARGET)[0] == 2 and said == []


def test_a_directory_that_cannot_be_listed_is_an_error(tmp_path):
    (tmp_path / "checkpoints").symlink_to("checkpoints")
    with pytest.raises(CheckpointError, match=f"the checkpoints in {tmp_path}/checkpoints cannot"):
        Checkpoints(tmp_path / "checkpoints")


def test_scores_that_cannot_be_read_are_kept(copy):
    loop(copy / "1/integrity/metadata")
    with opened(copy, keep_last=1) as (manager, said):
        assert manager.best_step() == 2
        assert said == ["the scores of steps [1] cannot be read, and do not count"]
        save_scores(manager, {3: 0.5, 4: 0.25})
        assert manager.steps() == [1, 4]


def test_what_is_saved_is_told_when_it_is_whole(tmp_path):
    told = []
    with opened(tmp_path / "c", saved=told.append) as (manager, _):
        manager.save(1, make_state(1), progress(1))
        manager.save(2, make_state(2), progress(2))
        assert told == [1]
        manager.wait()
        assert told == [1, 2]


def test_config_and_data_are_sealed(tmp_path):
    about = {"config": {"seed": 3}, "data": {"fingerprint": {"name": "digits"}}}
    with opened(tmp_path / "c", about=about) as (manager, _):
        save_scores(manager, {1: None})
    path = tmp_path / "c/1/integrity/metadata"
    assert json.loads(path.read_text())["about"] == about
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with opened(tmp_path / "c") as (manager, _), pytest.raises(CheckpointError, match="is whole"):
        manager.restore(TARGET)


def test_nothing_saved_restores_none(tmp_path):
    with opened(tmp_path / "new") as (manager, said):
        assert manager.restore(TARGET) is None and said == []
        assert manager.best_step() is None


@pytest.mark.parametrize("change", ["shape", "dtype", "absent", "more"])
def test_another_model_is_an_error_and_nothing_is_set_aside(copy, change):
    model = dict(TARGET.params["model"])
    kernel = model["kernel"]
    if change == "shape":
        model["kernel"] = jax.ShapeDtypeStruct((24, 65), kernel.dtype, sharding=kernel.sharding)
    elif change == "dtype":
        model["kernel"] = jax.ShapeDtypeStruct((24, 64), jnp.int32, sharding=kernel.sharding)
    elif change == "absent":
        del model["kernel"]
    else:
        model["bias"] = kernel
    target = TARGET.replace(params={"model": model})
    first = "params/model/bias" if change == "more" else "params/model/kernel"
    with opened(copy) as (manager, said):
        with pytest.raises(CheckpointError, match=f"1 tensors differ, the first: {first}: "):
            manager.restore(target)
        assert manager.steps() == [1, 2] and said == []
    assert assert_restores(copy, 2) == []


def test_restore_step(copy):
    with opened(copy) as (manager, _):
        state, position = manager.restore_step(1, TARGET)
        assert_same(state, make_state(1))
        assert position == progress(1)
        with pytest.raises(CheckpointError, match=r"no checkpoint of step 7; there are \[1, 2\]"):
            manager.restore_step(7, TARGET)
    shutil.rmtree(copy / "1/state")
    with opened(copy) as (manager, _), pytest.raises(CheckpointError, match="1 is damaged: "):
        manager.restore_step(1, TARGET)


def save_scores(manager, scores: dict):
    for step, score in scores.items():
        manager.save(step, make_state(step), progress(step), score=score)
    manager.wait()


def test_the_best_is_kept_beside_the_last_two(tmp_path):
    directory = tmp_path / "checkpoints"
    with opened(directory) as (manager, _):
        save_scores(manager, {1: 5.0, 2: 1.0, 3: 4.0, 4: None, 5: 3.0})
        assert manager.steps() == [2, 4, 5] and manager.best_step() == 2
    with opened(directory) as (manager, _):
        assert manager.best_step() == 2
        save_scores(manager, {6: None, 7: 2.0})
        assert manager.steps() == [2, 6, 7] and manager.best_step() == 2
        save_scores(manager, {8: 0.5, 9: None, 10: None})
        assert manager.steps() == [8, 9, 10] and manager.best_step() == 8


def test_only_the_last_stay_without_the_best(tmp_path):
    with opened(tmp_path / "c", keep_last=1, keep_best=False) as (manager, _):
        save_scores(manager, {1: 1.0, 2: 2.0, 3: 3.0})
        assert manager.steps() == [3]
    with pytest.raises(ValueError, match="keep_last=0, expected 1 or more"):
        Checkpoints(tmp_path, keep_last=0)


def test_a_saved_step_is_left_as_it_is(copy):
    with opened(copy) as (manager, _):
        manager.save(2, make_state(9), progress(9))
        manager.wait()
    assert_restores(copy, 2)


def test_read_only_changes_nothing_on_disk(copy):
    shutil.rmtree(copy / "2/state")
    (copy / "3.orbax-checkpoint-tmp-0").mkdir()

    before = listing(copy)
    with opened(copy, read_only=True) as (manager, said):
        assert manager.restore(TARGET)[0] == 1
    assert listing(copy) == before
    assert "step 2 is damaged" in said[0] and "set aside" not in said[0]


def test_a_full_disk_is_an_error_and_the_earlier_checkpoint_is_whole(copy, monkeypatch):
    with opened(copy) as (manager, _):
        full = types.SimpleNamespace(total=2**30, used=2**30, free=100)
        monkeypatch.setattr(faults.shutil, "disk_usage", lambda _: full)
        with pytest.raises(CheckpointError) as caught:
            manager.save(3, make_state(3), progress(3))
    message = str(caught.value)
    for part in (
        "step 3",
        str(copy),
        "no space left",
        "KiB to write, 100 B free",
        "the checkpoint of step 2 is whole",
    ):
        assert part in message and "\n" not in message
    assert_restores(copy, 2)


WRITE_TOO_MUCH = """
import pathlib, resource, sys
import jax, jax.numpy as jnp
from absl import logging
from jaxgen.train.checkpoint import CheckpointError, Checkpoints
logging.set_verbosity(logging.FATAL)
jax.config.update("jax_platforms", "cpu")
manager = Checkpoints(pathlib.Path(sys.argv[1]))
manager.save(1, {"w": jnp.arange(4.0)}, {})
manager.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, resource.RLIM_INFINITY))
try:
    manager.save(2, {"w": jax.random.normal(jax.random.key(0), (2**18,))}, {})
    manager.wait()
except CheckpointError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
manager.close()
"""


def test_a_failing_write_is_an_error_and_the_earlier_checkpoint_is_whole(tmp_path):
    directory = tmp_path / "checkpoints"
    command = [sys.executable, "-c", WRITE_TOO_MUCH, str(directory)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (message,) = out.stdout.splitlines()
    assert "could not write the checkpoint" in message and "step 1 is whole" in message
    with opened(directory) as (manager, said):
        step, state, _ = manager.restore({"w": jnp.zeros(4)})
        assert step == 1 and state["w"].tolist() == [0, 1, 2, 3] and said == []

"""Tables: what a file of text or Parquet becomes, and one line for everything that is wrong."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.types import DataSpec, Units

RANDOM = np.random.RandomState(0)
TABLE = {
    "a": 1e6 * RANDOM.randn(200) + 3e6,
    "b": 1e-6 * RANDOM.randn(200),
    "c": RANDOM.rand(200),
    "kind": np.array(["cat", "dog", "emu"])[np.arange(200) % 3],
}


def text(table, separator=",", decimal="."):
    rows = zip(*(map(str, column) for column in table.values()), strict=True)
    lines = [separator.join(table), *(separator.join(row) for row in rows)]
    body = "\n".join(lines) + "\n"
    return body.replace(".", decimal) if decimal != "." else body


def own(split):
    """Examples in the columns' own units, in order of the first column."""
    x = split.own(np.arange(len(split)))["x"]
    return x[np.argsort(x[:, 0])]


def whole(data):
    return np.concatenate([own(split) for split in data.splits.values()])


@pytest.fixture
def write(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def numbers(*names):
    return {name: TABLE[name] for name in names}


@pytest.mark.parametrize("form", ["csv", "tsv", "gz", "excel", "bom", "utf-16", "parquet", "CSV"])
def test_every_form_is_the_same_data(write, tmp_path, form):
    table = numbers("a", "b", "c")
    path = tmp_path / "t.parquet"
    if form == "parquet":
        pyarrow.parquet.write_table(pa.table(table), path)
    else:
        name, content = {
            "csv": ("t.csv", text(table)),
            "CSV": ("T.CSV", text(table)),
            "tsv": ("t.tsv", text(table, "\t")),
            "gz": ("t.csv.gz", gzip.compress(text(table).encode())),
            "excel": ("t.csv", text(table, ";", ",")),
            "bom": ("t.csv", text(table).encode("utf-8-sig")),
            "utf-16": ("t.csv", text(table).encode("utf-16")),
        }[form]
        path = write(content, name)
    data = jaxgen.data.load(str(path))
    spec = data.spec
    assert (spec.name.lower(), spec.shape, spec.levels, spec.x.names) == (
        "t",
        (3,),
        None,
        (*"abc",),
    )
    assert [len(split) for split in data.splits.values()] == [180, 20]
    np.testing.assert_allclose(
        np.sort(whole(data), 0), np.sort(np.stack([*table.values()], 1), 0), rtol=1e-15
    )
    assert ("decimal commas in column a" in data.report()) == (form == "excel")


def test_columns_are_standardised_by_the_train_split(write):
    data = jaxgen.data.load(write(text(numbers("a", "b", "c"))))
    train = data.splits["train"].take(np.arange(180))["x"]
    assert train.dtype == np.float32
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-6)
    test = data.splits["test"]
    inward = (own(test) - data.spec.x.units.shift) / data.spec.x.units.scale
    x = test.take(np.arange(20))["x"]
    np.testing.assert_allclose(x[np.argsort(x[:, 0])], inward, rtol=1e-6)
    np.testing.assert_allclose(data.spec.x.units.outward(inward), own(test), rtol=1e-12)
    scale = own(data.splits["train"]).std(0)
    np.testing.assert_allclose(data.spec.x.log_volume, np.log(scale).sum())
    report = data.report()
    assert "columns: a " in report and "deviation" in report and "standardised" in report
    plain = jaxgen.data.load(write(text(TABLE)), columns="a,b", standardize=False)
    assert plain.spec.x.units is None and "standardised, each" not in plain.report()


def test_columns_context_and_classes_by_name(write):
    path = write(text(TABLE | {"d": RANDOM.rand(200)}))
    data = jaxgen.data.load(path, columns="b, a", context="c", label="kind")
    assert (data.spec.x.names, data.spec.context) == (("b", "a"), ("c",))
    assert data.classes == ("cat", "dog", "emu") and data.spec.num_classes == 3
    assert "not used: columns d" in data.report() and "given: c " in data.report()
    batch = data.splits["train"].take(np.arange(180))
    np.testing.assert_allclose(batch["context"].std(0), 1, atol=1e-5)
    raw = data.splits["train"].own(np.arange(180))
    row = {a: i for i, a in enumerate(TABLE["a"])}
    for (b, a), c, label in zip(raw["x"], raw["context"][:, 0], batch["label"], strict=True):
        assert (TABLE["b"][row[a]], TABLE["c"][row[a]], row[a] % 3) == (b, c, label)
    print_ = data.fingerprint()
    assert (print_["columns"], print_["context"], print_["standardized"]) == (
        ["b", "a"],
        ["c"],
        True,
    )
    with pytest.raises(DataError, match=r"column 'kind', row 2 holds 'cat', no number: --config"):
        jaxgen.data.load(path)


def test_numbers_as_classes_and_no_header(write):
    rows = np.stack([RANDOM.rand(30), np.arange(30) % 12], 1)
    path = write("\n".join(f"{x},{int(k)}" for x, k in rows) + "\n")
    data = jaxgen.data.load(path, label="1")
    assert data.classes == tuple(map(str, range(12))) and data.spec.x.names == ("0",)
    assert "no header: the columns are called 0 to 1" in data.report()


def test_constants_few_values_and_copies_are_named(write):
    table = numbers("a", "b") | {"k": np.full(200, 3.0), "few": np.arange(200) % 4}
    path = write(text(table | {"copy": 2 * TABLE["a"] + 1}))
    data = jaxgen.data.load(path)
    assert data.spec.x.names == ("a", "b", "few", "copy")
    report = data.report()
    assert "not used: constant columns: k (3)" in report
    assert "columns of few different values: few (4)" in report
    assert "columns that say the same: a and copy" in report
    with pytest.raises(
        DataError, match=r"t.csv: constant in the train split: k \(3\); the density"
    ):
        jaxgen.data.load(path, columns="a,k")


def test_rows_of_arrays_are_tables_too(tmp_path):
    x = np.stack([TABLE["a"], TABLE["b"], np.full(200, 7.0)], 1)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", x=x, context=TABLE["c"], y=np.arange(200) % 2)
    prints = []
    for memory in (512, 0):
        data = jaxgen.data.load(f"{tmp_path}/a.npy", in_memory_mb=memory)
        assert data.spec.shape == (2,) and "not used: constant columns: 2 (7)" in data.report()
        assert abs(data.splits["train"].take(np.arange(180))["x"].std(0) - 1).max() < 1e-5
        prints.append(data.splits["train"].place)
    assert prints == ["in memory", "mapped from disk"]
    data = jaxgen.data.load(f"{tmp_path}/a.npz")
    assert (data.spec.context, data.spec.num_classes) == (("context 0",), 2)
    assert data.splits["test"].take(np.arange(3))["context"].shape == (3, 1)
    data = jaxgen.data.load(f"{tmp_path}/a.npy", columns="1", context="0")
    assert (data.spec.x.names, data.spec.context) == (("1",), ("0",))
    np.save(tmp_path / "one.npy", TABLE["c"])
    assert jaxgen.data.load(f"{tmp_path}/one.npy").spec.shape == (1,)


def test_units_survive_the_manifest():
    units = Units((1.0, 2.0), (3.0, 4.0))
    spec = DataSpec.of("t", (2,), None, columns=("a", "b"), context=("c",), units=units)
    assert DataSpec.from_json(spec.as_json()) == spec
    old = {"name": "d", "shape": [8, 8, 1], "levels": 17, "num_classes": 10, "entropy": None}
    assert DataSpec.from_json(old) == DataSpec.of("d", (8, 8, 1), 17, 10)
    old["shape"], old["levels"] = [1], None
    for units in ({"shift": [0.0], "scale": [0.0]}, {"shift": [0.0], "scale": []}):
        with pytest.raises(ValueError, match="expected 1 shifts and scales above zero"):
            DataSpec.from_json(old | {"units": units})
    with pytest.raises(ValueError, match="range: expected a lower and a higher end"):
        DataSpec.from_json(old | {"range": [1.0, 1.0]})


def test_a_run_keeps_its_units_and_rows_from_before_theirs(tmp_path):
    from jaxgen.data.load import load_as

    np.save(tmp_path / "a.npy", np.stack([TABLE["a"], TABLE["b"]], 1))
    now = jaxgen.data.load(f"{tmp_path}/a.npy")
    other = DataSpec.of("run", (2,), None, columns=("0", "1"), units=Units((0.0, 0.0), (2.0, 2.0)))
    recorded = {"spec": other.as_json(), "fingerprint": now.fingerprint()}
    again = load_as(recorded)(f"{tmp_path}/a.npy")
    assert again.spec.x.units == other.x.units and again.spec.name == "run"
    np.testing.assert_allclose(
        again.splits["test"].take(np.arange(20))["x"],
        now.splits["test"].own(np.arange(20))["x"] / 2,
        rtol=1e-6,
    )
    before = jaxgen.data.load(f"{tmp_path}/a.npy", standardize=False)
    assert set(before.fingerprint()) == {"name", "shape", "levels", "splits"}
    recorded = {"spec": before.spec.as_json(), "fingerprint": before.fingerprint()}
    assert load_as(recorded)(f"{tmp_path}/a.npy").spec.x.units is None


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "t.csv is empty"),
        ("a,b\n", {}, "t.csv holds no rows"),
        ("a,b\n1,2\n3\n", {}, r"row 3 has 1 cells, expected 2 as in the first \('3'\)"),
        ("a,b\n1,2,3\n", {}, "row 2 has 3 cells, expected 2"),
        ("a,b\n1,2\n3,\n", {}, "column 'b' misses its value in row 3; remove or fill"),
        ("a,b\n1,NA\n3,NaN\n", {}, "column 'b' misses its value in row 2, and 1 more rows"),
        ("a,b\n1,-inf\n", {}, "column 'b', row 2 is -inf, no finite number"),
        ("a,b\n1,1e999\n", {}, "column 'b', row 2 is 1e999, no finite number"),
        ("a,b\n1,2024-01-31\n", {}, "row 2 holds '2024-01-31', a date: save it as a number"),
        ("a,b\n1,12:30\n", {}, "'12:30', a date"),
        ("a,b\n1,x\n", {}, "column 'b', row 2 holds 'x', no number: --config.data.columns"),
        ("a b\n1 2\n3 4\n", {}, "another separator of columns than"),
        ('a,b\n"1,500",2\n"2,500",3\n', {}, "'1,500': a decimal comma, or a comma for thousands"),
        ("a,a\n1,2\n3,4\n", {}, "columns 1 and 2 have 'a'"),
        ("a,b\n1,2\n3,4\n", {"columns": "a,z"}, "has no column 'z'; it has a, b"),
        ("a,b\n1,2\n3,4\n", {"columns": "a", "context": "a"}, "column 'a' is asked for twice"),
        ("a,b\n1,2\n3,4\n", {"context": "a,b"}, "no column is left to be modelled"),
        ("a,b\n1,2\n3,4\n", {"label": "z"}, "has no column 'z'"),
        ("a,b\n1,2\n3,4.5\n", {"label": "b"}, "column 'b' holds 4.5: classes are names or whole"),
        ("a,b\n1,2\n3,\n", {"label": "b"}, "column 'b' misses its value in row 3"),
        ("a,b\n1,2\n", {}, "at least 2 examples"),
        (b"\0\1\2\3", {}, "holds zero bytes"),
        ("a,b\n1,2\n3,4\n5,7\n", {"size": 8}, "holds points, which have no size"),
    ],
)
def test_what_is_wrong_is_one_line(write, content, options, message):
    with pytest.raises(DataError, match=message) as error:
        jaxgen.data.load(write(content), **options)
    assert "\n" not in str(error.value)


def test_what_is_wrong_with_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    for column, message in (
        (pa.array([1.0, None]), "column 'a' misses its value in row 2"),
        (pa.array([1, None]), "column 'a' misses its value in row 2"),
        (pa.array([1.0, np.inf]), "column 'a', row 2 is inf"),
        (pa.array(["x", "y"]), "column 'a', row 1 holds 'x'"),
        (pa.array([[1.0], [2.0]]), "column 'a' holds list"),
        (pa.array(np.array(["2024-01-01"] * 2, "M8[s]")), "column 'a' holds dates"),
    ):
        pyarrow.parquet.write_table(pa.table({"a": column}), path)
        with pytest.raises(DataError, match=message):
            jaxgen.data.load(str(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="t.parquet is no whole .parquet file"):
        jaxgen.data.load(str(path))


def test_the_index_of_pandas_is_no_column(tmp_path):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"a": TABLE["a"], "__index_level_0__": range(200)}), path)
    data = jaxgen.data.load(str(path))
    assert data.spec.x.names == ("a",)
    assert "not used: __index_level_0__, an index of pandas" in data.report()


def test_few_bytes_that_would_be_many(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"a": pa.repeat(1.0, 5 * 10**6), "b": pa.repeat(2.0, 5 * 10**6)})
    pyarrow.parquet.write_table(table, path, compression="zstd")
    with pytest.raises(DataError, match="t.parquet: .* bytes would become 80,000,000"):
        jaxgen.data.load(str(path))
    word = pa.array(["x" * 10**6]).dictionary_encode()
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 10**5, pa.int8()), word.dictionary)
    numbers_ = pa.array(np.arange(10**5) / 7)
    pyarrow.parquet.write_table(pa.table({"a": numbers_, "word": words}), path)
    data = jaxgen.data.load(str(path), columns="a", label="word")
    assert data.spec.num_classes == 1
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(bytes(2**26 + 2**20)))
    with pytest.raises(DataError, match="t.csv.gz is truncated or damaged: .* become more than"):
        jaxgen.data.load(str(tmp_path / "t.csv.gz"))


def test_an_index_without_a_name_and_other_encodings(write):
    rows = "".join(f"{i},{x},{x * 2 + i}\n" for i, x in enumerate(TABLE["c"]))
    data = jaxgen.data.load(write(f",größe,b\n{rows}".encode("latin-1")))
    assert data.spec.x.names == ("größe", "b")
    assert "not used: column 1 has no name" in data.report()
    assert "not UTF-8 in line 1: read as Latin-1" in data.report()


def test_options_of_tables_alone(tmp_path):
    for option in ("columns", "context", "label"):
        with pytest.raises(DataError, match=f"data.{option} is of a table or an array; digits"):
            jaxgen.data.load("digits", **{option: "a"})

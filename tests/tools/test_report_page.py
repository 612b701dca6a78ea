"""The page that `jaxgen compare` writes: whole, alone, escaped; and what it refuses."""

import base64
import html.parser
import io
import json
import shutil

import fake_runs
import numpy as np
import PIL.Image
import pytest
import scipy.stats

from jaxgen.config import ConfigError
from jaxgen.report.drawings import rgb, sheet
from jaxgen.report.markup import h, script_json
from jaxgen.report.numbers import interval, number, quantity, title
from jaxgen.report.page import page, payload
from jaxgen.report.records import entries, read
from jaxgen.report.series import (
    MOST_POINTS,
    histograms,
    knobs,
    paired,
    planes,
    points,
    training,
)

SECTIONS = (
    "verdict samples plane likelihood training interpolations reconstructions neighbours cost "
    "reproduce numbers"
).split()
EVIL = "</script><img src=x onerror=alert(1)>&\"'"


class Reader(html.parser.HTMLParser):
    """Elements with their attributes, the text inside scripts, and that tags are closed."""

    VOID = {"meta", "img", "input", "br"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self.open, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))


def parse(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def of(reader, tag):
    return [attributes for found, attributes in reader.found if found == tag]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return fake_runs.four(tmp_path_factory.mktemp("compare"))


@pytest.fixture(scope="module")
def found(paths):
    return entries([str(path) for path in paths])


@pytest.fixture(scope="module")
def text(found):
    return page(found, "2026-11-25 12:00 UTC")


@pytest.fixture(scope="module")
def reader(text):
    return parse(text)


def test_nothing_is_loaded_from_elsewhere(reader):
    for tag, attributes in reader.found:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            if value is not None:
                assert value.startswith("data:image/png;base64,") or value.startswith("#"), tag
    assert not of(reader, "link") and not of(reader, "iframe")
    styles = "".join(text for tag, text in reader.texts if tag == "style")
    assert "url(" not in styles and "@import" not in styles
    policy = next(a["content"] for a in of(reader, "meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_ids_are_unique_and_references_lead_somewhere(reader):
    ids = [a["id"] for _, a in reader.found if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.found:
        for name in ("aria-labelledby", "aria-describedby", "for", "data-tip"):
            assert attributes.get(name) is None or attributes[name] in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids


def test_what_a_screen_reader_needs(reader):
    assert of(reader, "html")[0]["lang"] == "en"
    assert all(image["alt"] for image in of(reader, "img"))
    assert len(of(reader, "h1")) == 1 and len(of(reader, "main")) == 1
    assert all("scope" in cell for cell in of(reader, "th"))
    assert len(of(reader, "caption")) == len(of(reader, "table"))
    assert all(a["type"] == "button" for a in of(reader, "button"))
    first = next(a for tag, a in reader.found if tag == "a")
    assert first["class"] == "skip"
    levels = [int(tag[1]) for tag, _ in reader.found if tag in ("h1", "h2", "h3")]
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_all_sections_are_there_and_in_the_navigation(reader):
    assert [a["id"] for a in of(reader, "section")] == SECTIONS
    assert [a["href"] for a in of(reader, "a")][1:] == [f"#{name}" for name in SECTIONS]


def test_the_best_is_bold_only_among_equals(text, reader):
    rows = {}
    row = None
    for tag, attributes in reader.found:
        if tag == "tr":
            row = attributes.get("data-row")
        if tag == "td" and row and "data-model" in attributes:
            rows.setdefault(row, {})[attributes["data-model"]] = attributes["class"]
    assert rows["fcd-digits8-cnn64"] == {
        "glow": "tied",
        "vae": "worse",
        "nvae": "tied",
        "stylegan2": "differs",
    }
    assert rows["bpd"] == {"glow": "differs", "vae": "worse", "nvae": "best", "stylegan2": "none"}
    assert "not comparable: num_generated" in text and "not comparable: bound" in text
    assert "num_generated: 10000; in this row 2000" in text


def test_data_round_trip(found, reader):
    (inside,) = [t for tag, t in reader.texts if tag == "script" and t.startswith('{"models"')]
    assert json.loads(inside) == json.loads(json.dumps(payload(found)))
    table = json.loads(inside)["measurements"]
    assert len(table["rows"]) == sum(len(entry.measurements) for entry in found)
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert row["model"] == "glow" and row["value"] == 9.0
    assert json.loads(row["fingerprint"])["num_real"] == 297


def test_names_cannot_break_out(paths):
    evil = read(paths[0], EVIL)
    text = page([evil, read(paths[1])], EVIL)
    assert EVIL not in text and "<img src=x" not in text
    reader = parse(text)
    assert not any("onerror" in a for _, a in reader.found)
    (inside,) = [t for tag, t in reader.texts if tag == "script" and t.startswith('{"models"')]
    assert json.loads(inside)["models"] == [EVIL, "vae"]
    assert h("a", EVIL, title=EVIL).count("<") == 2
    assert "<" not in script_json([EVIL]) and json.loads(script_json([EVIL])) == [EVIL]


def test_pictures_are_the_images(found, reader):
    x = found[0].arrays["images"]["x"]
    source = next(a["src"] for a in of(reader, "img") if "64 samples of glow" in a["alt"])
    with PIL.Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (71, 71, 4)  # 8 images of 8 pixels, 7 gaps
    np.testing.assert_array_equal(pixels[9:17, 27:35, 0], np.rint(x[11, ..., 0] * 255 / 16))
    assert (pixels[..., 3] == 0).sum() == 71 * 71 - 64 * 64


def test_any_number_of_channels():
    assert sheet(np.zeros((3, 4, 6, 3)), None, 2).rows == 2
    np.testing.assert_array_equal(rgb(np.full((1, 1, 1, 1), np.nan), 2), 0)
    np.testing.assert_array_equal(rgb(np.ones((1, 1, 1, 2)), None), 255)


def test_planes_do_not_mix_fingerprints(found):
    charts = planes(found)
    assert len(charts) == 4  # two pairs, for 2,000 and for 10,000 samples
    assert "num_generated=2000" in charts[0]["label"]
    assert {p["model"] for p in charts[0]["points"]} == {"glow", "vae", "nvae"}
    glow = [p for p in charts[0]["points"] if p["model"] == "glow"]
    assert [p["knob"] for p in glow] == [0.5, 0.7, 0.9, None]
    assert glow[0]["x"] == pytest.approx(0.4) and glow[0]["y"] == pytest.approx(0.76)
    assert glow[0]["settings"] == "temperature=0.5" and glow[0]["seed"] == 0
    assert all(len({p["knob"] for p in c["points"]}) > 1 for c in knobs(found))


def test_histograms_count_every_example(found):
    (chart,) = histograms(found)
    for series in chart["series"]:
        assert sum(series["share"]) == pytest.approx(1, abs=0.01)
    values = found[0].arrays["likelihood"]["train"]
    first = chart["series"][0]
    assert first["mean"] == pytest.approx(values.mean()) and first["count"] == 1500
    assert first["stderr"] == pytest.approx(values.std(ddof=1) / np.sqrt(1500))
    inside = sum(round(sum(s["share"]) * s["count"]) for s in chart["series"])
    assert inside + chart["outside"] == sum(s["count"] for s in chart["series"])


def test_likelihoods_are_paired_where_they_would_be_ranked(found):
    """Flows and VAEs have bounds of two kinds; the GAN has none."""
    (chart,) = paired(found)
    assert [(p["model"], p["minus"]) for p in chart["pairs"]] == [("vae", "nvae")]
    assert (chart["unit"], chart["better"]) == ("bits/dim", "lower")


def likelihoods(path, values, **changes):
    run = fake_runs.run(path, changes=changes)
    known = {"name": "bpd", "unit": "bits/dim", "train": values, "test": values}
    np.savez(run / "evaluation" / "likelihood.npz", **known)
    return read(run)


def test_a_paired_difference_is_surer_than_two_means(tmp_path):
    """Of examples that are hard for both: against SciPy's paired test."""
    rng = np.random.default_rng(0)
    hard = rng.normal(3, 1, 297)
    a = likelihoods(tmp_path / "a", hard + rng.normal(0.0, 0.1, 297))
    b = likelihoods(tmp_path / "b", hard + rng.normal(0.05, 0.1, 297))
    (chart,) = paired([a, b])
    (pair,) = chart["pairs"]
    x, y = (e.arrays["likelihood"]["test"] for e in (a, b))
    test = scipy.stats.ttest_rel(x, y)
    assert pair["difference"] == pytest.approx(np.mean(x) - np.mean(y)) and pair["count"] == 297
    ends = pair["difference"] + 1.96 * np.array([-1, 1]) * pair["difference"] / test.statistic
    np.testing.assert_allclose(sorted((pair["low"], pair["high"])), sorted(ends), rtol=1e-4)
    assert pair["high"] < 0  # while the means are alone within the error
    assert x.mean() + 1.96 * scipy.stats.sem(x) > y.mean() - 1.96 * scipy.stats.sem(y)
    text = page([a, b], "now")
    row = text[text.index("differences of two models on the same test examples") :]
    cells = [t for tag, t in parse(row[row.index("<tbody>") : row.index("</tbody>") + 8]).texts]
    assert [t for t in cells if t.strip()][:3] == ["a", " minus ", "b"] and cells[-1] == "a"


def test_other_examples_are_not_paired(tmp_path):
    values = np.random.default_rng(0).normal(3, 1, 297)
    first = likelihoods(tmp_path / "first", values)
    for i, changes in enumerate(({"data_sha256": "ee" * 32}, {"levels": 256}, {"bound": "x"})):
        other = likelihoods(tmp_path / str(i), values, **changes)
        assert (paired([first, other]) == []) == ("bound" not in changes)
    assert paired([first, likelihoods(tmp_path / "few", values[:-1])]) == []
    again = likelihoods(tmp_path / "counts", values, num_real=200)  # a number of fewer examples
    assert len(paired([first, again])[0]["pairs"]) == 1
    holes = likelihoods(tmp_path / "holes", np.where(values > 4, np.nan, values))
    assert paired([first, holes]) == []


def test_points_stand_where_images_would(tmp_path):
    entry = read(fake_runs.of_points(tmp_path / "ring"))
    (chart,) = points([entry])
    arrays = entry.arrays["points"]
    for kind in ("real", "generated"):
        np.testing.assert_allclose(chart[kind], arrays[kind], rtol=1e-4)
    assert chart["outside"] >= 3 and chart["split"] == "train"
    low, high = arrays["real"].min(0), arrays["real"].max(0)
    np.testing.assert_allclose(chart["x"][0], low[0] - 0.15 * (high - low)[0], rtol=1e-4)
    np.testing.assert_allclose(chart["y"][1], high[1] + 0.15 * (high - low)[1], rtol=1e-4)
    reader = parse(page([entry], "now"))
    assert "samples" in [a["id"] for a in of(reader, "section")]
    assert [a["data-chart"] for a in of(reader, "div") if "data-chart" in a][0] == "points-0"
    shown = " ".join(text for _, text in reader.texts)
    assert f"500 generated points over 500 real ones; {chart['outside']} lie beyond" in shown
    assert "arrow keys" not in shown


def test_charts_are_told_apart_by_what_people_read(tmp_path):
    """Charts of two data sets do not share an axis; the hash says nothing beside the levels."""
    eight = {"levels": 256, "data_sha256": "ee" * 32, "weights_sha256": "ff" * 32}
    runs = [fake_runs.run(tmp_path / "a"), fake_runs.run(tmp_path / "b", changes=eight)]
    found = entries([str(run) for run in runs])
    first, second = histograms(found)
    assert first["label"] == "Bits per dimension (digits, 17 levels)"
    assert second["label"] == "Bits per dimension (digits, 256 levels)"
    assert planes(found)[0]["label"] == "Precision and recall (levels=17)"


def test_unlike_likelihoods_share_no_chart_and_no_rank(tmp_path):
    """Of p(x) and p(x | class); and a run that was measured before likelihoods said which."""
    said = {"measure": "mass", "of": "x", "given": ""}
    changes = {"joint": said, "conditional": said | {"given": "label"}, "before": {}}
    runs = [fake_runs.run(tmp_path / k, 0.5, changes=v) for k, v in changes.items()]
    found = entries([str(run) for run in runs])
    assert [[s["model"] for s in c["series"]] for c in histograms(found)] == [
        [name, name] for name in changes
    ]
    assert [c["label"] for c in histograms(found)][:2] == [
        "Bits per dimension (digits, 17 levels, measure=mass, of=x)",
        "Bits per dimension (digits, 17 levels, measure=mass, of=x, given=label)",
    ]
    assert paired(found) == []
    text = page(found, "now")
    assert "not comparable: given, measure, of" in text
    assert "what is absent was not said: measure it again" in text
    assert "what is absent" not in page(found[:2], "now")


def test_a_floor_is_of_the_same_quantity(tmp_path):
    run = fake_runs.run(tmp_path / "floors")
    file = run / "evaluation" / "measurements.json"
    written = json.loads(file.read_text())
    context = {"floor": 3.5, "floor_ratio": 0.0625}
    written["measurements"] = [
        fake_runs.measurement(f"{name}-{fake_runs.LABEL}", 9.0, 0.5) | {"context": context}
        for name in ("fcd", "fcd_ratio", "fcd_inf")
    ]
    file.write_text(json.dumps(written))
    text = page([read(run)], "now")
    assert text.count("floor 3.500") == 1 and text.count("floor 0.06250") == 1


def test_counted_numbers_are_equal_not_within_error(tmp_path):
    found = entries([str(fake_runs.run(tmp_path / name)) for name in "ab"])
    text = page(found, "now")
    row = text[text.index('data-row="parameters"') :]
    row = row[: row.index("</tr>")]
    assert row.count(">equal<") == 2 and "within error" not in row


def test_curves(found, tmp_path):
    charts = {chart["label"]: chart["series"] for chart in training(found)}
    assert next(iter(charts)) == "test/bpd"  # held out, and most models have it
    assert len(charts["train/loss"]) == 4 and len(charts["train/loss"][0]["steps"]) == 40  # no NaN
    run = fake_runs.run(tmp_path / "long")
    rows = [{"step": i, "split": "train", "loss": 1.0} for i in range(2 * MOST_POINTS + 1)]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (series,) = training([read(run)])[0]["series"]
    assert len(series["steps"]) <= MOST_POINTS and series["steps"][-1] == 2 * MOST_POINTS


def test_numbers_as_people_read_them():
    assert number(2.22051, 2.19, 2.25) == "2.221"
    assert interval(2.22051, 2.19, 2.25, "") == "2.190 to 2.250"
    assert [number(v) for v in (None, 0, 3.0, 0.012341, 123456.7, 1e-9)] == [
        "—",
        "0",
        "3",
        "0.01234",
        "123,457",
        "1.000e-09",
    ]
    assert [quantity(v, None, None, "bytes") for v in (900, 2**20, 3.25 * 2**30)] == [
        "0.9 KiB",
        "1.0 MiB",
        "3.2 GiB",
    ]
    assert quantity(7.42e-4, 7.3e-4, 7.5e-4, "s") == "0.742 ms"
    assert interval(7.42e-4, 7.3e-4, 7.5e-4, "s") == "0.730 to 0.750"
    assert quantity(1.25, None, None, "s") == "1.250 s"
    assert title("fcd-digits8-cnn64@ab")[0] == "Fréchet classifier distance"
    assert title("swd_16")[0] == "Sliced Wasserstein distance, 16"
    assert title("something_new") == ("something_new", "")


def test_a_run_with_nothing_but_numbers(tmp_path):
    run = fake_runs.run(tmp_path / "bare")
    for name in ("images", "neighbours", "likelihood", "interpolation", "reconstruction"):
        (run / "evaluation" / f"{name}.npz").unlink()
    for name in ("metrics.jsonl", "config.json", "manifest.json"):
        (run / name).unlink()
    reader = parse(page(entries([str(run)]), "now"))
    ids = [a["id"] for a in of(reader, "section")]
    assert ids == ["verdict", "plane", "cost", "reproduce", "numbers"]


def test_other_data_are_shown_but_not_ranked(tmp_path, paths):
    other = {"data": "mnist", "levels": 256, "data_sha256": "ee" * 32}
    run = fake_runs.run(tmp_path / "mnist-glow", changes=other)
    found = entries([str(paths[0]), str(run)])
    text = page(found, "now")
    assert "measured on different data (name, sha256, levels)" in text
    assert "not comparable: data, data_sha256, levels" in text


def test_the_command(jaxgen_command, paths, tmp_path):
    out = tmp_path / "out" / "report.html"
    said = jaxgen_command("compare", *paths, paths[0], code=2)
    assert "is named twice" in said.err
    said = jaxgen_command("compare", *paths[:2], f"--out={out}").out
    assert "2 models, 1 not comparable" in said and str(out) in said
    parse(out.read_text())


def test_mistakes(jaxgen_command, paths, tmp_path):
    def refused(*argv):
        err = jaxgen_command("compare", *argv, code=2).err
        assert err.count("\n") == 1
        return err

    assert "is not a directory" in refused(tmp_path / "nowhere")
    empty = tmp_path / "glow"
    empty.mkdir()
    assert f"run jaxgen eval {empty} --metrics=... first" in refused(empty)
    assert "expected a name that ends in .html" in refused(paths[0], "--out=x.pdf")
    copy = tmp_path / "copy" / "glow"
    shutil.copytree(paths[0], copy)
    assert "both called glow" in refused(paths[0], copy)
    assert [e.name for e in entries([str(paths[0]), f"again={copy}"])] == ["glow", "again"]
    file = copy / "evaluation" / "measurements.json"
    for broken, words in (
        ("{", "is damaged"),
        ('{"measurements": []}', "is damaged: it misses source"),
        ('{"source": {}, "measurements": [{"value": 1}]}', "it misses name"),
        ('{"source": {}, "measurements": []}', "--metrics=... first"),
    ):
        file.write_text(broken)
        assert words in refused(copy)
    shutil.copy(paths[0] / "evaluation" / "measurements.json", file)
    np.savez(copy / "evaluation" / "images.npz", y=np.zeros(3))
    assert "images.npz lacks x" in refused(copy)
    (copy / "evaluation" / "images.npz").write_bytes(b"PK broken")
    assert "images.npz is truncated or damaged" in refused(copy)


def test_infinite_numbers_count_as_not_measured(tmp_path):
    run = fake_runs.run(tmp_path / "odd")
    file = run / "evaluation" / "measurements.json"
    written = json.loads(file.read_text())
    written["measurements"][0] |= {"value": "nan", "low": None, "high": None}
    file.write_text(json.dumps(written))
    first = read(run).measurements[0]
    assert first.value is None and "value is nan" in first.notes
    written["measurements"][0]["better"] = "more"
    file.write_text(json.dumps(written))
    with pytest.raises(ConfigError, match="better='more'"):
        read(run)

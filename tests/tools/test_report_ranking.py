"""Who may be called best: equal fingerprints, and intervals that do not meet."""

import pytest

from jaxgen.abilities import DensityOf
from jaxgen.evaluate.measurement import ABSENT, Measurement, differences
from jaxgen.report.ranking import fewest, rank, table, tally

SAME = {"data": "digits", "levels": 17, "num_generated": 2000}


def number(value, half=0.1, better="lower", fingerprint=SAME, name="fcd-net@0123", **more):
    ends = {} if half is None else {"low": value - half, "high": value + half}
    return Measurement(name, value, better=better, fingerprint=fingerprint, **ends, **more)


def statuses(**members):
    return {model: cell.status for model, cell in rank(members).items()}


def test_the_best_is_best_only_beyond_the_intervals():
    assert statuses(a=number(1.0), b=number(1.3)) == {"a": "best", "b": "worse"}
    assert statuses(a=number(1.0), b=number(1.2)) == {"a": "tied", "b": "tied"}  # they touch
    found = statuses(a=number(1.0), b=number(1.15), c=number(1.5))
    assert found == {"a": "tied", "b": "tied", "c": "worse"}


def test_higher_is_better_where_it_is():
    found = {"a": number(0.9, 0.01, "higher"), "b": number(0.8, 0.01, "higher")}
    assert statuses(**found) == {"a": "best", "b": "worse"}
    assert [rank(found)[m].place for m in "ab"] == [0, 1]


def test_an_interval_that_is_not_known_names_no_winner():
    assert statuses(a=number(1.0, None), b=number(9.0, 0.1)) == {"a": "ahead", "b": "worse"}
    assert statuses(a=number(1.0), b=number(9.0, None)) == {"a": "ahead", "b": "worse"}
    # counted numbers need none
    assert statuses(
        a=number(10, None, name="parameters"), b=number(11, None, name="parameters")
    ) == {"a": "best", "b": "worse"}


def test_equal_values_share_a_place():
    found = {"a": number(2.0, None), "b": number(1.0, None), "c": number(1.0, None)}
    assert statuses(**found) == {"a": "worse", "b": "tied", "c": "tied"}
    assert [rank(found)[m].place for m in "abc"] == [2, 0, 0]


def test_numbers_without_rivals_values_or_direction():
    assert statuses(a=number(1.0)) == {"a": "alone"}
    assert statuses(a=number(1.0), b=Measurement("fcd", None, better="lower")) == {
        "a": "alone",
        "b": "missing",
    }
    assert set(statuses(a=number(1, better="none"), b=number(2, better="none")).values()) == {
        "unranked"
    }


def test_five_and_eight_bits_are_never_ranked_together():
    five, eight = SAME | {"levels": 32}, SAME | {"levels": 256}
    rows = table(
        {
            "glow": [number(1.0, name="bpd", group="likelihood", fingerprint=five)],
            "vae": [number(3.0, name="bpd", group="likelihood", fingerprint=eight)],
        }
    )
    assert len(rows) == 1
    cells = rows[0].cells
    assert cells["glow"].status == "alone"
    assert cells["vae"].status == "differs" and cells["vae"].place is None
    assert dict(cells["vae"].differences) == {"levels": (256, 32)}


def test_a_likelihood_of_before_is_not_ranked_against_one_that_says_what_it_is_of():
    """Runs that were measured earlier stay readable, and what is missing is named."""
    before = {"data": "digits", "data_sha256": "ab", "kind": "elbo", "levels": 17}
    now = before | DensityOf("elbo", "mass", 64, levels=17).fingerprint()
    made = dict(name="nelbo", group="likelihood")
    (row,) = table(
        {
            "old": [number(1.0, fingerprint=before, **made)],
            "new": [number(3.0, fingerprint=now, **made)],
        }
    )
    assert [row.cells[m].status for m in ("old", "new")] == ["alone", "differs"]
    assert set(row.cells["new"].differences) == {"dims", "given", "measure", "of", "per"}
    assert row.cells["new"].differences["measure"] == ("mass", ABSENT)


@pytest.mark.parametrize(
    "change",
    [{"data": "mnist"}, {"num_generated": 500}, {"bound": "elbo"}, {"levels": 17.5}, {"k": True}],
)
def test_any_key_that_differs_is_named(change):
    a, b = number(1.0), number(0.1, fingerprint=SAME | change)
    (row,) = table({"a": [a], "b": [b]})
    assert row.cells["b"].status == "differs"
    assert set(row.cells["b"].differences) == set(change)


def test_weights_units_and_directions_count_too():
    ours, theirs = number(1.0), number(0.1, name="fcd-net@4567")
    (row,) = table({"a": [ours], "b": [theirs]})
    assert set(row.cells["b"].differences) == {"name"}
    (row,) = table({"a": [number(1.0, unit="nats")], "b": [number(0.1, unit="bits/dim")]})
    assert set(row.cells["b"].differences) == {"unit"}
    assert differences({"x": True}, {"x": 1}) and not differences({"x": 1.0}, {"x": 1})


def test_every_shared_fingerprint_has_a_row():
    train, test = SAME | {"split": "train"}, SAME | {"split": "test"}
    models = {
        "a": [number(1.0, fingerprint=train), number(2.0, fingerprint=test)],
        "b": [number(1.5, fingerprint=train), number(3.0, fingerprint=test)],
        "c": [number(0.5, fingerprint=SAME)],
    }
    rows = table(models)
    assert [dict(row.qualifier) for row in rows] == [{"split": "train"}, {"split": "test"}]
    assert [row.cells["a"].status for row in rows] == ["best", "best"]
    assert rows[0].cells["c"].status == "differs" and "c" not in rows[1].cells
    shown = [cell.measurement for row in rows for cell in row.cells.values()]
    assert sorted(map(id, shown)) == sorted(id(m) for found in models.values() for m in found)
    assert tally(rows, "abc") == {
        "a": {"best": 2, "tied": 0, "ranked": 2},
        "b": {"best": 0, "tied": 0, "ranked": 2},
        "c": {"best": 0, "tied": 0, "ranked": 0},
    }


def test_the_default_settings_stand_for_a_model():
    cold = number(0.1, settings={"temperature": 0.5})
    (row,) = table({"a": [cold, number(1.0)], "b": [number(2.0)]})
    assert row.cells["a"].measurement.value == 1.0
    (row,) = table({"a": [cold], "b": [number(2.0)]})
    assert row.cells["a"].measurement is cold


def test_rows_come_by_group():
    found = [number(1, group="cost", name="x"), number(1, group="fidelity", name="y")]
    assert [row.name for row in table({"a": found})] == ["y", "x"]


def test_few_fields_tell_fingerprints_apart():
    one = {"levels": 17, "data_sha256": "a", "binarized": "(absent)", "split": "test", "k": 3}
    two = one | {"levels": 2, "data_sha256": "b", "binarized": "above 8"}
    three = one | {"split": "train"}
    assert fewest(one, [one, two]) == {"levels": 17} and fewest(two, [one, two]) == {"levels": 2}
    assert fewest(one, [one, two, three]) == {"levels": 17, "split": "test"}
    assert fewest(one, [one]) == {} == fewest(one, [])
    assert fewest({"data_sha256": "a"}, [{"data_sha256": "b"}]) == {"data_sha256": "a"}

"""The command line of every verb: what is mistyped or out of range is one line, before any work."""

import argparse
import errno
import io
import os
import subprocess
import sys

import pytest
from command import ROOT
from parsers import FILES, OPTIONS, VERBS, named, typed

from jaxgen import boundary, cli
from jaxgen.config import ConfigError
from jaxgen.processes import explicit
from jaxgen.tools.outputs import Output, spelt
from jaxgen.tools.parser import parse
from jaxgen.tools.ranges import Real, Whole

BAD = ("-1", "0", "1.5", "abc", "²", "", "nan", "inf", "1e999", "9" * 20, "9" * 5000, "1,2", "None")
NUMBERS = [(v, a) for v, a in OPTIONS if isinstance(a.type, (Whole, Real))]
# taken as they are, or checked against the data or by the command
TEXTS = {"--splits", "--manual_dir", "--metrics", "--reference", "--extractor", "--weights"}
TEXTS |= {
    "--force",
    "--json",
    "--set_aside",
    "--yes",
    "--data",
    "--workdir",
    "--to",
    "--like",
    "--keep",
    "--path",
    "--page",
    "--manifold",
    "--allow",
    "--fit",
    "--average",
    "--classifier",
    "--texts",
    "--particle",
    "--between",
    "--optimise",
    "--speaker",
    "--codes",
    "--top",
    "--temperatures",
    "--knob",
    "--attribute",
    "--method",
    "--table",
    "--having",
    "--lacking",
    "--strength",
    "--no_verify",
    "--against",
    "--background",
    "--gradient",
    "--llr",
    "--timing",
    "--host",
    "--token",
}


@pytest.fixture
def refused(monkeypatch, tmp_path, capsys):
    """refused(*argv): the one line that a command ends in, having written nothing."""
    monkeypatch.chdir(tmp_path)

    def run(*argv, code=2):
        with pytest.raises(SystemExit) as end:
            cli.main(list(argv))
        assert end.value.code == code
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("jaxgen: error: ") and err.count("\n") == 1, err
        assert not list(tmp_path.iterdir())
        return err.removeprefix("jaxgen: error: ").rstrip("\n")

    return run


def fits(kind, text):
    """Whether a value of `BAD` is one of this option's."""
    try:
        value = float(text) if isinstance(kind, Real) else int(text)
    except ValueError:
        return False
    return kind.least < value <= kind.most or value == kind.least and not getattr(kind, "above", 0)


def test_every_option_states_what_it_takes():
    for verb, action in OPTIONS:
        assert action.help, f"{verb} {action.option_strings}"
        stated = isinstance(action.type, (Whole, Real, Output))
        assert stated or action.option_strings[0] in TEXTS, f"{verb} {action.option_strings}"
    assert len(NUMBERS) > 40 and len(FILES) > 10


@pytest.mark.parametrize(("verb", "action"), NUMBERS, ids=named(NUMBERS))
def test_numbers_out_of_range(refused, verb, action):
    option = action.option_strings[0]
    for text in BAD:
        if not fits(action.type, text):
            error = refused(*typed(verb, f"{option}={text}"))
            assert error.startswith(f"{option}={text[:60]}") and "expected " in error
            assert len(error) < 200
    assert refused(*typed(verb, option, "abc")).startswith(f"{option}=abc, expected ")


@pytest.mark.parametrize(("verb", "action"), FILES, ids=named(FILES))
def test_files_that_cannot_be_written(refused, tmp_path_factory, verb, action):
    option, kind = action.option_strings[0], action.type.kinds[0]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").touch()
    (elsewhere / f"folder{kind}").mkdir()
    for path in (
        f"/proc/x{kind}",
        elsewhere / "file" / f"x{kind}",
        elsewhere / f"folder{kind}",
        elsewhere / ("x" * 300 + kind),
        f"x\0{kind}",
    ):
        assert "cannot be written: " in refused(*typed(verb, f"{option}={path}"))
    assert "expected a name that ends in" in refused(*typed(verb, f"{option}=x.jpg"))


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Output((".png",))("~/x.png") == tmp_path / "x.png"


MISTAKES = {
    "verb": (("smaple", "x"), "unknown command 'smaple': did you mean 'sample'?"),
    "option": (("sweep", "x", "--dim=3"), "unrecognized arguments: --dim=3: did you mean --dims?"),
    "option before the run": (("sweep", "--manifod", "x"), "did you mean --manifold?"),
    "option of no verb": (("--verison",), "did you mean --version?"),
    "no run": (("sample",), "the following arguments are required: run (see jaxgen sample --help)"),
    "no value": (("sample", "x", "--num"), "--num: expected one argument"),
    "too many": (("sweep", "x", "y"), "unexpected argument 'y'"),
    "choice": (
        ("interpolate", "x", "--path=curly"),
        "unknown --path 'curly' (known: linear, spherical)",
    ),
    "knob": (("sample", "x", "--temperature=nan"), "--temperature=nan, expected a finite number"),
    "huge knob": (("sample", "x", "--temperature=1e999"), "expected a finite number"),
    "no knob": (("sample", "x", "y"), "expected --NAME=VALUE, got 'y'"),
    "class": (("sample", "x", "--class=cat"), "--class=cat, expected a whole number from 0"),
    "label": (("sample", "x", "--label=1.5"), "--label=1.5, expected a whole number from 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(refused, name):
    argv, message = MISTAKES[name]
    assert message in refused(*argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["--temperature=0.5", "--num=2", "run", "--class=3"],
        ["--temperature", "0.5", "--num", "2", "run", "--class", "3"],
        ["run", "--class", "3", "--temperature", "0.5", "--num", "2"],
    ],
)
def test_knobs_in_both_forms(argv):
    arguments, knobs = parse(cli.parser(), ["sample", *argv])
    assert (arguments.run, arguments.num) == ("run", 2)
    assert knobs == {"temperature": 0.5, "label": 3}


def test_a_negative_knob_is_a_value():
    assert parse(cli.parser(), ["sample", "--truncation", "-1", "r"])[1] == {"truncation": -1}


def test_alone_it_says_what_one_does_first(capsys):
    """On one screen; every command that it names is one."""
    cli.main([])
    out, err = capsys.readouterr()
    assert len(out.splitlines()) <= 24 and max(map(len, out.splitlines())) <= 100 and not err
    typed = [line.split() for line in out.splitlines() if line.startswith("  jaxgen ")]
    assert [words[1] for words in typed] == ["train", "runs", "sample", "eval", "models", "--help"]
    assert {words[1] for words in typed} <= {*VERBS, "--help"}


@pytest.mark.parametrize("verb", [None, *(verb for verb in VERBS if verb != "train")])
def test_help_of_everything(verb, capsys):
    """Ends well, and says something of every option and every argument."""
    parser = VERBS[verb] if verb else cli.parser()
    for action in parser._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), action.dest
    with pytest.raises(SystemExit) as end:
        cli.main([*([verb] if verb else []), "--help"])
    out, err = capsys.readouterr()
    assert not end.value.code and not err and out.startswith("usage: jaxgen")
    for name in parser.options:
        assert name in out
    for name in {} if verb else VERBS:
        assert name in out and VERBS[name].prog == f"jaxgen {name}"


@pytest.mark.parametrize("module", ["cli", "cli train", "main"])
def test_version_and_help(module):
    """In processes of their own: both leave by `sys.exit`, and absl's flags are global."""
    for flag, text in (("--version", "jaxgen 0."), ("--help", "jaxgen")):
        command = [sys.executable, "-m", *f"jaxgen.{module}".split(), flag]
        job = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert job.returncode == 0 and text in job.stdout and not job.stderr


@pytest.mark.parametrize("text", ["²", "-1", "one"])
def test_process_id_of_the_environment(monkeypatch, text):
    monkeypatch.setenv("JAXGEN_PROCESS_ID", text)
    with pytest.raises(ConfigError, match="JAXGEN_PROCESS_ID=.*, expected a number"):
        explicit({"coordinator_address": "a:1", "num_processes": 2, "process_id": None})


def ended(error, capsys):
    """Exit code and standard error of a command that raises `error`."""

    def action():
        raise error

    with pytest.raises(SystemExit) as end:
        boundary.guarded(action)
    return end.value.code, capsys.readouterr().err


def test_known_errors_are_lines(capsys):
    from jaxgen.data.dataset import DataError
    from jaxgen.train.checkpoint import CheckpointError
    from jaxgen.train.window import NonFinite

    for kind, code in ((ConfigError, 2), (DataError, 2), (CheckpointError, 1)):
        assert ended(kind("so it is"), capsys) == (code, "jaxgen: error: so it is\n")
    assert f"{NonFinite.__module__}.{NonFinite.__qualname__}" in boundary.KNOWN
    full = OSError(errno.ENOSPC, "No space left on device", "/x/y")
    line = "/x/y: No space left on device; free some space, or choose another place"
    assert ended(full, capsys) == (1, f"jaxgen: error: {line}\n")
    for error in (MemoryError("x"), RuntimeError("RESOURCE_EXHAUSTED: 3 GB")):
        assert "jaxgen: error: out of memory: " in ended(error, capsys)[1]
    assert ended(KeyboardInterrupt(), capsys) == (130, "")


def test_unknown_errors_are_a_report_to_send(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setattr(sys, "argv", ["jaxgen", "sample", os.path.expanduser("~/run")])
    code, err = ended(ZeroDivisionError("by\nnothing"), capsys)
    (path,) = tmp_path.iterdir()
    assert code == 1 and err.count("\n") == 1
    assert f"unexpected error: ZeroDivisionError: by: a report is in {path}; please send" in err
    text = path.read_text()
    for part in ("Traceback", "ZeroDivisionError", "command: jaxgen sample", "~/run", "\njax "):
        assert part in text
    assert "hunter2" not in text and os.path.expanduser("~") + "/" not in text
    monkeypatch.setenv("JAXGEN_DEBUG", "1")
    assert "Traceback" in ended(ZeroDivisionError(), capsys)[1]


def test_a_closed_pipe_is_quiet(capsys):
    read, write = os.pipe()
    os.close(read)
    stdout = sys.stdout
    sys.stdout = io.TextIOWrapper(os.fdopen(write, "wb", 0), write_through=True)
    try:
        with pytest.raises(SystemExit) as end:
            boundary.guarded(lambda: print("x" * 10**6))
    finally:
        sys.stdout.close()
        sys.stdout = stdout
    assert end.value.code == 141 and capsys.readouterr().err == ""


def test_names_that_are_not_utf8(capsys):
    boundary.guarded(lambda: print(os.fsdecode(b"caf\xe9.png")))
    assert capsys.readouterr().out == "caf\\udce9.png\n"


def test_values_in_names_of_files():
    assert [spelt(v) for v in (0.7, -1, "a/b", True)] == ["0.7", "-1", "a-b", "True"]

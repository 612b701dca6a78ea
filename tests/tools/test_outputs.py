"""What commands write: said, and over nothing that they did not name themselves."""

import pytest
from parsers import FILES, OPTIONS, VERBS, named, typed

from jaxgen import cli
from jaxgen.config import ConfigError
from jaxgen.tools.outputs import Output, check_free, kind
from jaxgen.tools.parser import parse

# tiny runs, of which every verb that writes takes one
TINY = {
    "npe": ("--config=configs/npe.py:tiny",),
    "stylegan2": ("--config=configs/stylegan2.py:digits,tiny",),
    "grid25": ("--config=configs/gan.py:tiny", "--config.data.name=grid25"),
}
FAST = ("--num=100", "--steps=2", "--frames=2", "--dims=2", "--draws=9", "--max_examples=16")


def test_whatever_names_a_file_to_write_is_checked():
    """Every --out is of the type that refuses, and has the option that allows."""
    for verb, action in OPTIONS:
        if "--out" in action.option_strings:
            assert isinstance(action.type, Output), verb
    for verb, _ in FILES:
        assert "--force" in VERBS[verb].options, verb
    assert {verb for verb, _ in FILES} >= {"sample", "compare", "study", "eval", "modes"}


@pytest.mark.parametrize(("verb", "action"), FILES, ids=named(FILES))
def test_a_file_that_is_there_stays(verb, action, tmp_path, jaxgen_command):
    """Refused before any work: there is no run at all."""
    option = action.option_strings[0]
    for suffix in action.type.kinds:
        mine = tmp_path / f"mine{suffix.upper()}"
        mine.write_text("mine")
        said = jaxgen_command(*typed(verb, f"{option}={mine}"), code=2)
        message = f"{option}: {mine} exists: name another, or add --force to write over it"
        assert said.err == f"jaxgen: error: {message}\n" and not said.out
        assert mine.read_text() == "mine"
        arguments, _ = parse(cli.parser(), typed(verb, f"{option}={mine}", "--force"))
        check_free(arguments, VERBS[verb])
        link = tmp_path / f"link{suffix}"
        link.symlink_to("nowhere")
        arguments, _ = parse(cli.parser(), typed(verb, f"{option}={link}"))
        with pytest.raises(ConfigError, match="exists"):
            check_free(arguments, VERBS[verb])


def test_the_same_request_is_written_anew(zoo, tmp_path, jaxgen_command):
    """Under its own name in the run, and with --force elsewhere; single pictures leave no rest."""
    run = zoo.copy("flow", tmp_path / "run").workdir
    first = jaxgen_command("sample", run, "--num=2").out
    assert jaxgen_command("sample", run, "--num=2").out == first
    folder = tmp_path / "single"
    jaxgen_command("sample", run, "--num=3", f"--out={folder}/")
    (folder / "mine.png").touch()
    err = jaxgen_command("sample", run, "--num=2", f"--out={folder}/", code=2).err
    assert f"--out: {folder}/ holds pictures already" in err and len(list(folder.iterdir())) == 4
    jaxgen_command("sample", run, "--num=2", f"--out={folder}/", "--force")
    left = sorted(p.name for p in folder.iterdir())
    assert left == ["000000.png", "000001.png", "mine.png"]
    out = tmp_path / "X.PNG"
    out.write_text("mine")
    assert jaxgen_command("sample", run, "--num=2", f"--out={out}", "--force").out.endswith(
        f": {out}\n"
    )
    assert kind(out) == ".png" and out.read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def runs(zoo, starter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    found = [zoo.copy(name, folder / name).workdir for name in ("flow", "vae", "dense")]
    for name, argv in TINY.items():
        found.append(starter.run(*argv, f"--workdir={folder / name}").workdir)
    return found


def attempt(argv, capsys):
    """What a command prints, None where it is refused."""
    try:
        cli.main([str(word) for word in argv])
    except SystemExit:
        capsys.readouterr()
        return None
    return capsys.readouterr().out


@pytest.mark.slow
def test_every_verb_says_what_it_wrote(runs, tmp_path, capsys, monkeypatch, jaxgen_command):
    """Each on the first run that it takes: there is one for each."""
    for run in runs[:1]:
        jaxgen_command("eval", run, "--metrics=speed")
    for verb, action in FILES:
        options = [word for word in FAST if word.partition("=")[0] in VERBS[verb].options]
        for suffix in action.type.kinds:
            out = tmp_path / f"{verb}{suffix}"
            there = f"{action.option_strings[0]}={out}"
            tries = (typed(verb, *few, there, given=run) for run in runs for few in (options, ()))
            said = (attempt(argv, capsys) for argv in tries)
            text = next((text for text in said if text is not None), None)
            assert text is not None, f"no run for {verb}"
            assert str(out) in text and out.stat().st_size, verb

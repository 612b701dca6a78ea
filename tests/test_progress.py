"""How far a command is: when it is told, in which words, and that nothing else is disturbed."""

import io
import sys
import threading
import time

import pytest

from jaxgen import cli, progress, verbs
from jaxgen.data.limits import load_npz
from jaxgen.evaluate.sampling import chunk_size
from jaxgen.progress import CLEARED, Reporter, counted, duration, stage, track
from jaxgen.types import DataSpec


class Screen(io.StringIO):
    """A terminal, or a file."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def told(terminal=False):
    """A reporter, its clock, and what it writes on."""
    clock, screen = Clock(), Screen(terminal)
    return Reporter("jaxgen toy", screen, clock), clock, screen


def after(reporter, clock, seconds):
    """Ticks as its thread does until so many seconds have passed."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now = min(clock.now + progress.REDRAWN, end)
        reporter.tick()


def test_three_seconds_are_silent_then_a_line_every_ten():
    reporter, clock, screen = told()
    after(reporter, clock, 2.75)
    assert screen.getvalue() == ""
    after(reporter, clock, 30.5)
    lines = screen.getvalue().splitlines()
    assert lines == [f"jaxgen toy, {duration(s)} so far" for s in (3, 13, 23, 33)]


def test_a_terminal_has_one_line():
    reporter, clock, screen = told(terminal=True)
    after(reporter, clock, 3.5)
    text = screen.getvalue()
    assert text.count(CLEARED) == 3 and "\n" not in text and text.startswith(CLEARED)
    reporter.clear()
    assert screen.getvalue() == text + CLEARED
    reporter.clear()  # nothing is there any more
    assert screen.getvalue() == text + CLEARED


def test_the_time_left_leaves_out_what_came_before_the_first():
    """20 s compile and draw the first 128, then 128 take 1 s: the rest takes 1 s a chunk."""
    reporter, clock, _ = told()
    task = reporter.begin("drawing", 1000, "images")
    clock.now += 20
    assert task.text(clock.now) == "drawing: 0 of 1,000 images, 0:20 so far"
    task.advance(128, clock.now)
    assert task.text(clock.now).endswith(f"{duration(20 * 872 / 128)} left")
    for _ in range(2):
        clock.now += 1
        task.advance(128, clock.now)
    assert task.text(clock.now) == f"drawing: 384 of 1,000 images, {duration(616 / 128)} left"
    task.advance(10**6, clock.now)  # the last chunk is filled up
    assert task.text(clock.now) == "drawing: 1,000 of 1,000 images, 0:00 left"


def test_the_outermost_count_that_has_begun_is_told():
    reporter, clock, _ = told()
    reporter.begin("measuring fd")
    outer = reporter.begin("features", 10, "images")
    inner = reporter.begin("drawing", 10, "images")
    assert reporter._text(clock.now).startswith("measuring fd: features: drawing: 0 of 10")
    inner.advance(5, clock.now)
    assert reporter._text(clock.now).startswith("measuring fd: features: drawing: 5 of 10")
    outer.advance(2, clock.now)
    assert reporter._text(clock.now).startswith("measuring fd: features: 2 of 10")
    reporter.end(outer), reporter.end(inner)
    assert reporter._text(clock.now) == "measuring fd, 0:00 so far"


def test_nothing_is_told_outside():
    with stage("a"), counted("b", 2, "c") as advance:
        advance(1)
        assert list(track([1, 2], "d", 2, "e")) == [1, 2]
    assert not progress.is_shown() and not threading.active_count() - 1 - _others()


def _others():
    return sum(t.name != "progress" for t in threading.enumerate()) - 1


@pytest.mark.parametrize("terminal", [True, False])
def test_results_stand_on_lines_of_their_own(monkeypatch, terminal):
    """What a command prints is never on the line that is rewritten, and streams come back."""
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "SILENT", 0.0)
    monkeypatch.setattr(progress, "REDRAWN", 0.01)
    with pytest.raises(ZeroDivisionError), progress.shown("jaxgen toy"):
        with progress.shown("within"), stage("working"):
            until(lambda: "working" in screen.getvalue())
            print("a result")
        raise ZeroDivisionError
    assert sys.stdout is screen and sys.stderr is screen and not progress.is_shown()
    before, _, after = screen.getvalue().partition("a result\n")
    assert before.endswith(CLEARED if terminal else " so far\n") and "within" not in before
    assert not after or after.endswith(CLEARED)


def until(condition, limit=20):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


TOY = """
def add(commands):
    toy = commands.add_parser("dawdle", help="takes its time")
    toy.set_defaults(command=run)

def run(arguments, knobs):
    import sys, time
    from jaxgen.progress import track
    for _ in track(range(10**6), "waiting", 10**6, "turns"):
        time.sleep(0.01)
        if " left" in sys.stderr.getvalue():
            break
    print("done")
"""


def test_every_verb_tells(tmp_path, monkeypatch):
    """Also one that is added tomorrow: the command line does it, no verb does."""
    (tmp_path / "dawdle.py").write_text(TOY)
    monkeypatch.setattr(verbs, "__path__", [*verbs.__path__, str(tmp_path)])
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    for name in ("SILENT", "EVERY", "REDRAWN"):
        monkeypatch.setattr(progress, name, 0.01)
    screens = Screen(False), Screen(False)
    monkeypatch.setattr(sys, "stdout", screens[0])
    monkeypatch.setattr(sys, "stderr", screens[1])
    cli.main(["dawdle"])
    assert screens[0].getvalue() == "done\n"
    assert "waiting: " in screens[1].getvalue() and " left\n" in screens[1].getvalue()


def test_the_loops_of_the_verbs_are_counted(zoo, monkeypatch, jaxgen_command, tmp_path):
    """What draws, encodes, decodes and evaluates says what it does and how much there is."""
    seen = {}
    begin = Reporter.begin

    def noted(self, what, total=0, unit=""):
        seen[what] = (total, unit)
        return begin(self, what, total, unit)

    monkeypatch.setattr(Reporter, "begin", noted)
    run = zoo.run("flow").workdir
    jaxgen_command("sample", run, "--num=300", f"--out={tmp_path / 'x.npz'}")
    assert seen == {"restoring flow": (0, ""), "drawing": (300, "images")}
    assert len(load_npz(tmp_path / "x.npz")["x"]) == 300
    assert chunk_size(DataSpec.of("digits", (8, 8, 1), 17)) < 300  # so that there are several
    jaxgen_command("eval", run, "--splits=test")
    assert seen["evaluating test"] == (297, "images") and "reading the data" in seen

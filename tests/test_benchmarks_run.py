"""Running the measurements one after the other, and what is told and kept of them."""

import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from benchmarks import run
from benchmarks.c_client import CClient, NotHere
from benchmarks.plot import Bar, Bars, bars_svg
from benchmarks.progress import each_run
from benchmarks.run import BENCHMARKS, GROWTH, Part
from benchmarks.table import Goal, Row


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """One that fails, and one that answers a row."""

    async def fails(quick: bool) -> list[Row]:
        raise RuntimeError("no such luck")

    async def works(quick: bool) -> list[Row]:
        return [Row("it", "s", [float(number + 1) for number in each_run(2)], Goal("≤", 2))]

    for name, measure in (("fails", fails), ("works", works)):
        module = ModuleType(f"benchmarks.{name}")
        module.measure = measure  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return [Part("fails", 60, 1), Part("works", 600, 2)]


def test_one_that_fails_does_not_keep_the_others_from_being_measured(
    parts: list[Part], capsys: pytest.CaptureFixture[str]
) -> None:
    rows, failed = run.run(parts, quick=False)
    assert [(row.what, list(row.values), row.met) for row in rows] == [("fails", [], None), ("it", [1.0, 2.0], True)]
    assert failed == ["fails: RuntimeError: no such luck"]
    told = capsys.readouterr().out
    assert "==> works, 2 of 2: about 10 min; 10 min to the end" in told
    assert "run 2 of 2" in told


async def _no_version() -> str:
    return "18"


def test_the_page_gets_all_of_it_measured_in_full_and_says_what_failed(
    parts: list[Part], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    monkeypatch.setattr(run, "PAGE", page)
    monkeypatch.setattr(run, "BENCHMARKS", parts)
    monkeypatch.setattr(run, "postgres_version", _no_version)
    assert run.main(["--quick"]) == 1
    assert not page.exists()
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "drain.svg").touch()
    assert run.main([]) == 1
    text = page.read_text()
    assert "| it | s | 1 | 1.5 | 2 |" in text
    assert "- fails: it failed in this run" in text
    assert "(img/drain.svg)" in text


def test_every_benchmark_can_be_asked_for_by_name_and_takes_as_long_as_was_promised() -> None:
    for part in [*BENCHMARKS, *GROWTH]:
        module = __import__(f"benchmarks.{part.name}", fromlist=["measure"])
        assert (module.NAME, callable(module.measure)) == (part.name, True)
    assert sum(part.full_s for part in BENCHMARKS) < 20 * 60
    assert sum(part.quick_s for part in BENCHMARKS) < 2.5 * 60


async def test_a_machine_without_the_c_client_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.c_client._UNPACKED", tmp_path / "postfix")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(NotHere, match="apt-get install postfix"):
        await CClient.prepare()


def test_bars_tell_their_figures_to_who_cannot_see_them() -> None:
    root = ElementTree.fromstring(bars_svg(Bars("Drain", "mails/s", [Bar("Janus", 6000.0, True), Bar("<peer>", 1e3)])))
    words = [text.strip() for text in root.itertext() if text.strip()]
    assert words[:2] == ["Drain", "mails/s; Janus: 6,000; <peer>: 1,000"]
    assert len(root.findall(".//{*}rect")) == 3

"""The code of the measurements, at sizes that measure nothing: it works, and what it checks can fail."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from benchmarks.checks import check_arrivals, check_message_ids, check_records
from benchmarks.drain import drain_once, sink_ceiling
from benchmarks.ledger import Arrival
from benchmarks.letters import letters, recipient
from benchmarks.stand import Stand, refuse_weak_durability, stand
from benchmarks.table import Goal, Row, markdown, put_into

MAILS = 50
EXPECTED = letters(range(MAILS))


@pytest.fixture(scope="module")
async def drained() -> AsyncIterator[tuple[Stand, list[Arrival]]]:
    """A stand on which two worker processes have drained 50 mails, and what the sink has of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.stand._FIRST_LOOK_S", 0.1)
        async with stand() as bench:
            assert await drain_once(bench, MAILS, 2) > 0
            yield bench, bench.ledger.read()


async def test_a_drain_is_proven_in_the_database_and_in_the_sink(drained: tuple[Stand, list[Arrival]]) -> None:
    bench, arrivals = drained
    assert bench.ledger.count() == len(arrivals) == MAILS
    assert list((await bench.proven(0, EXPECTED)).values()) == [arrival.at for arrival in arrivals]


async def test_a_mail_that_the_sink_lacks_is_an_error(drained: tuple[Stand, list[Arrival]]) -> None:
    bench, arrivals = drained
    with pytest.raises(RuntimeError, match="1 mails did not arrive"):
        check_arrivals(arrivals[1:], EXPECTED)
    with pytest.raises(RuntimeError, match="1 mails on record did not arrive"):
        await check_message_ids(bench.database, {arrival.message_id for arrival in arrivals[1:]})


def test_a_mail_that_came_twice_is_an_error(drained: tuple[Stand, list[Arrival]]) -> None:
    with pytest.raises(RuntimeError, match="1 came more than once"):
        check_arrivals([*drained[1], drained[1][0]], EXPECTED)


@pytest.mark.parametrize(
    ("written", "arrived"),
    [
        (b"is with the carrier", b"is with the courier"),
        (b"12.50 EUR", b"12.51 EUR"),
        (b"Subject: Order", b"Subject: Ordes"),
        (b"Hello Ann 0000007", b"Hello Ann 0000008"),
        (b"To: reader0000007@", b"To: reader0000008@"),
    ],
)
def test_a_mail_that_says_something_else_is_an_error(
    drained: tuple[Stand, list[Arrival]], written: bytes, arrived: bytes
) -> None:
    spoilt = []
    for arrival in drained[1]:
        content = arrival.content
        if arrival.recipients == (recipient(7),):
            assert written in content
            content = content.replace(written, arrived, 1)
        spoilt.append(dataclasses.replace(arrival, content=content))
    with pytest.raises(RuntimeError, match="is not what was written"):
        check_arrivals(spoilt, EXPECTED)


async def test_a_message_without_its_attempt_is_an_error(drained: tuple[Stand, list[Arrival]]) -> None:
    bench, _ = drained
    with pytest.raises(RuntimeError, match="50 of 51 messages"):
        await check_records(bench.database, MAILS + 1)
    pool = bench.database.pool
    await pool.execute("CREATE TABLE kept AS SELECT * FROM attempts LIMIT 1")
    await pool.execute("DELETE FROM attempts WHERE id = (SELECT id FROM kept)")
    with pytest.raises(RuntimeError, match="1 have no right record"):
        await check_records(bench.database, MAILS)
    await pool.execute("INSERT INTO attempts SELECT * FROM kept")
    await check_records(bench.database, MAILS)
    with pytest.raises(RuntimeError, match="0 wait, not 1"):
        await check_records(bench.database, MAILS, waiting=1)


async def test_a_server_that_may_lose_what_it_committed_is_refused(drained: tuple[Stand, list[Arrival]]) -> None:
    with pytest.raises(RuntimeError, match="synchronous_commit is off"):
        await refuse_weak_durability(f"{drained[0].dsn}&synchronous_commit=off")


async def test_the_sink_alone_is_measured_by_mails_that_really_arrive(drained: tuple[Stand, list[Arrival]]) -> None:
    bench, _ = drained
    before = bench.ledger.count()
    assert await sink_ceiling(bench, 40) > 0
    assert bench.ledger.count() == before + 40


def test_the_ratio_is_that_of_the_pairs_and_decides_the_goal() -> None:
    row = Row("drain", "mails/s", [600, 700, 650], Goal("≥", 6, of="ratio"), "peer", [100, 100, 130])
    assert (row.ratio, row.met) == (6, True)
    assert Row("lateness", "s", [0.2, 0.9, 0.3], Goal("≤", 0.25)).met is False
    assert Row("not here", "s", [], Goal("≤", 0.25), note="no such program").met is None


def test_the_page_shows_each_row_with_its_ratio_and_goal() -> None:
    row = Row("drain", "mails/s", [6000, 7000, 6500], Goal("≥", 6, of="ratio"), "peer", [1000, 1000, 1000])
    page = markdown([row, Row("C client", "mails/s", [], note="no such program")], ["Machine: one"])
    assert "| drain | mails/s | 6,000 | 6,500 | 7,000 | peer | 1,000 | 6.5 × | ≥ 6 × | yes |" in page
    assert "- C client: no such program" in page


def test_a_section_of_the_page_is_replaced_and_what_people_wrote_stays(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nWhy it is fast.\n")
    for name, section in [("benchmarks", "first\n"), ("growth", "much\n"), ("benchmarks", "second\n")]:
        put_into(page, name, section)
    text = page.read_text()
    assert ("Why it is fast." in text, "first" in text, text.count("second"), text.count("much")) == (True, False, 1, 1)

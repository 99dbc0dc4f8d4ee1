"""No cell of a file that we give begins a formula, whichever way a spreadsheet parts its lines."""

import csv
import io
from typing import Final

import httpx
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st

from janus_mail.storage.database import Database
from janus_mail.web.csv_cells import guarded, unguarded
from tests.pages.conftest import Visitor
from tests.pages.gallery import Gallery
from tests.security.stored import places, spoil
from tests.security.surfaces import surfaces

FORMULAS: Final = {
    "equals": "=cmd|' /c calc'!a0",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@sum(1;2)",
    "tab": "\t=1+1",
    "return": "\r=1+1",
    "line": "\n=1+1",
    "full width": "＝1+1",
    "quoted": '"=1+1',
    "behind a semicolon": "ann;=hyperlink(1)",
    "behind a tab": "ann\t@sum(1)",
    "behind a line": "ann\r\n=1+1",
    "guarded": "'=1+1",
}
_BEGIN: Final = tuple("=+-@\t\r\n＝＋－＠")


def cells(text: str, parted_by: str) -> list[str]:
    """As a spreadsheet whose list separator this is reads them: a quote only counts where a cell begins."""
    return [cell for line in csv.reader(io.StringIO(text, newline=""), delimiter=parted_by) for cell in line]


async def test_no_cell_of_any_file_begins_a_formula(
    visitor: Visitor, gallery_of_few: Gallery, anonymous_app: FastAPI
) -> None:
    """Every address is asked, and those that answer with such a file again, with a formula in all that is stored."""
    pool = gallery_of_few.database.pool
    ids = await places(pool)
    exports = []
    for surface in surfaces(anonymous_app):
        if surface.method == "GET":
            answer = await visitor.client.get(surface.at(ids))
            if answer.headers.get("content-type", "").startswith("text/csv"):
                exports.append(surface.at(ids))
    said = anonymous_app.openapi()["paths"].items()
    assert {path for path, one in said if "text/csv" in str(one.get("get", {}).get("responses"))} <= set(exports)
    assert len(exports) >= 2
    await spoil(pool, "=1+1;=hyperlink(1)\t@sum(2)\r\n＝1+1\n-cmd")
    for path in exports:
        answer = await visitor.client.get(path)
        assert "-cmd" in answer.text, f"{path} shows nothing that is stored"
        for parted_by in ",;\t":
            assert [cell for cell in cells(answer.text, parted_by) if cell.startswith(_BEGIN)] == [], path


async def test_what_was_exported_is_imported_again_without_loss(api: httpx.AsyncClient, database: Database) -> None:
    notes = [formula for formula in FORMULAS.values() if formula.isprintable()]
    for number, note in enumerate(notes):
        body = {"addresses": [f"+{number}=ann@example.net"], "note": note}
        assert (await api.post("/api/suppressions", json=body)).status_code == 201, note
    await database.pool.execute("UPDATE suppressions SET source = substring(source FROM position(': ' IN source) + 2)")
    before = await database.pool.fetch("SELECT address, source FROM suppressions ORDER BY address")
    assert {row["source"] for row in before} == set(notes)
    exported = (await api.get("/api/suppressions/export")).content
    await database.pool.execute("DELETE FROM suppressions")
    answer = await api.post("/api/suppressions/import", content=exported, headers={"Content-Type": "text/csv"})
    assert answer.json()["added"] == len(notes)
    assert await database.pool.fetch("SELECT address, source FROM suppressions ORDER BY address") == before


@given(st.text("=+-@\t\r\n＝';,\" ab", max_size=12))
@example("';=")
@example("''=")
def test_a_guarded_cell_is_no_formula_and_comes_back_as_it_was(text: str) -> None:
    assert not guarded(text).startswith(_BEGIN)
    assert not [cell for cell in guarded(text).split(";") if cell.startswith(_BEGIN)]
    assert unguarded(guarded(text)) == text

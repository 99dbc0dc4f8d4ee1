"""Cells of our CSV files that no spreadsheet takes for a formula, and back without loss."""

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_GUARD = "'"


def guarded(text: str) -> str:
    """Spreadsheets show what begins with an apostrophe as it stands (OWASP, «CSV injection»)."""
    return _GUARD + text if text.startswith((*_BEGINS_A_FORMULA, _GUARD)) else text


def unguarded(cell: str) -> str:
    """What `guarded` was given. An apostrophe before anything else is the text's own."""
    return cell[1:] if cell.startswith(_GUARD) and cell[1:].startswith((*_BEGINS_A_FORMULA, _GUARD)) else cell

"""Tables that describe a cohort: CSV files somebody else wrote."""

from __future__ import annotations

import csv
from pathlib import Path

from synthgen.errors import InputError

MAX_BYTES = 16 << 20


def read_table(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the names of the columns of a CSV file in UTF-8, and its rows.

    Cells are stripped, missing ones empty; rows without any, as spreadsheets leave below a table, are dropped.

    Raises
    ------
    InputError
        If the file is missing, too large, in another encoding, or no table.
    """
    if not table.is_file() or table.stat().st_size > MAX_BYTES:
        got = "a larger file" if table.is_file() else "nothing there"
        raise InputError(table, expected=f"a table of at most {MAX_BYTES} bytes", got=got)
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(table, expected="a table in UTF-8", got="other bytes") from error
    if "\0" in text:
        raise InputError(table, expected="a table of text", got="a zero byte")
    try:
        reader = csv.DictReader(text.splitlines())
        names = [str(name) for name in reader.fieldnames or []]
        stripped = ({name: (row.get(name) or "").strip() for name in names} for row in reader)
        rows = [row for row in stripped if any(row.values())]
    except csv.Error as error:
        raise InputError(table, expected="a table of comma-separated values", got=str(error)) from error
    return names, rows

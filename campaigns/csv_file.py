"""A CSV file that an operator hands in, row by row, and what is wrong with it in words."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from recsys.errors import DataError


def rows_of(
    path: Path, what: str, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Each row with its line, the header being line 1. `what` names the file in a DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in required if name not in (reader.fieldnames or [])]
            if missing:
                more = f" and may have {', '.join(optional)}" if optional else ""
                raise DataError(
                    f"The {what} {path} lacks the column {', '.join(missing)}; it needs "
                    f"{', '.join(required)}{more}"
                )
            yield from enumerate(reader, start=2)
    except FileNotFoundError:
        raise DataError(f"There is no {what} {path}") from None
    except UnicodeDecodeError:
        raise DataError(f"The {what} {path} is not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(f"The {what} {path} is not CSV: {error}") from None

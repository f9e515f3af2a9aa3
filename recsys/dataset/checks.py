"""Every row against its table's rules: good rows typed, bad rows set aside with the reason."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recsys.dataset.convert import complaint, converted, is_naive
from recsys.dataset.rules import NO_ZONE, OVERFLOW, raw_name, rules_for
from recsys.dataset.tables import TEXT, Rule, Table
from recsys.errors import DataError

ROW = "\0row"
"""The row's number in its file, 1 for the first row of data; a part may bring it along."""
REJECTS = pl.Schema(
    {"table": TEXT, "file": TEXT, "row": pl.Int64(), "column": TEXT, "value": TEXT, "rule": TEXT}
)
DEFAULT_MAX_REJECTS = 0.01

_PART, _BROKEN = "\0part", "\0broken"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a table, as it is: `file` is its name in messages."""

    file: str
    rows: pl.LazyFrame


@dataclass(frozen=True, slots=True)
class Checked:
    """A table's good rows in its types, and one line of `REJECTS` for each bad row."""

    good: pl.DataFrame
    rejects: pl.DataFrame


def check(
    table: Table,
    parts: Sequence[Part],
    *,
    timezone: str | None = None,
    max_rejects: float = DEFAULT_MAX_REJECTS,
) -> Checked:
    """Type and check all parts of a table; of two rows with one key the first good one stays.

    `good` has the declared columns that a part has, and others if the table keeps extras. Naive
    times are read in `timezone`. Raises DataError if a column is missing or of a wrong type, a
    time has no zone, or more than the share `max_rejects` of the rows is bad.
    """
    good, bad = [], []
    for number, part in enumerate(parts):
        kept, rejected = _check_part(table, part, timezone=timezone)
        good.append(kept.with_columns(pl.lit(number, pl.UInt32).alias(_PART)))
        bad.append(rejected)
    rows = pl.concat(good, how="diagonal_relaxed")
    rows, repeated = _first_of_each(table, rows, [part.file for part in parts])
    rejects = pl.concat([*bad, repeated])
    _refuse_too_many(table, parts, rejects, good=rows.height, most=max_rejects)
    return Checked(rows.drop(_PART, ROW), rejects)


def conform(table: Table, part: Part, *, timezone: str | None) -> pl.LazyFrame:
    """The part's declared columns in their types, null where a value does not fit, and its rest.

    Lazy: nothing is read but the schema. Raises DataError for a missing column, a type that
    cannot be converted, and a type that is a time without a zone when `timezone` is None.
    """
    schema = read_schema(part)
    exprs = []
    for column in table.columns:
        source = schema.get(column.name)
        if source is None:
            if column.required:
                raise _missing(column.name, part.file, list(schema))
            continue
        if timezone is None and is_naive(column, source):
            raise DataError(
                f"{part.file}: the times in {column.name} have no time zone. Import the files "
                "with the zone of their times, for example --timezone Europe/Berlin."
            )
        expr = converted(column, pl.col(column.name), source, timezone=timezone)
        if expr is None:
            raise DataError(
                f"{part.file}: column {column.name} holds {source}, which is "
                f"{complaint(column, None) if column.dtype != TEXT else 'not text'}. "
                f"Write it as {column.dtype}."
            )
        if column.returnable and "kind" in schema:
            kind = pl.col("kind").cast(TEXT)
            expr = pl.when(kind == "return").then(expr.abs()).otherwise(expr)
        elif source == column.dtype:
            continue  # as it is, so that filters still reach the file
        exprs.append(expr.alias(column.name))
    return part.rows.with_columns(exprs)


def read_schema(part: Part) -> pl.Schema:
    """The part's columns as they are in the file; DataError if it cannot be read."""
    try:
        return part.rows.collect_schema()
    except (pl.exceptions.PolarsError, FileNotFoundError, PermissionError) as error:
        raise _unreadable(part, error) from error


def _check_part(
    table: Table, part: Part, *, timezone: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    schema = read_schema(part)
    lines = part.rows if ROW in schema else part.rows.with_row_index(ROW, offset=1)
    raw = Part(part.file, lines)
    rules = rules_for(table, schema, timezone)
    kept = [name for name in table.names if name in schema]
    if table.extras:
        kept += [name for name in schema if name not in (*kept, ROW, OVERFLOW)]
    absent = [
        pl.lit(None, column.dtype).alias(column.name)
        for column in table.columns
        if column.name not in schema
    ]
    # The raw values stand beside the typed ones for the rules, under names no file can have.
    before = lines.with_columns(pl.col(name).alias(raw_name(name)) for name in kept)
    typed = conform(table, Part(part.file, before), timezone=timezone).with_columns(absent)
    broken = pl.coalesce(
        [pl.lit(None, pl.UInt8)]
        + [pl.when(rule.broken).then(pl.lit(code, pl.UInt8)) for code, rule in enumerate(rules)]
    )
    try:
        whole = typed.select(ROW, *kept, broken.alias(_BROKEN)).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise _unreadable(part, error) from error
    good = whole.filter(pl.col(_BROKEN).is_null()).drop(_BROKEN)
    bad = whole.filter(pl.col(_BROKEN).is_not_null()).select(ROW, _BROKEN)
    return good, _rejects(table, raw, rules, bad)


def _rejects(table: Table, raw: Part, rules: Sequence[Rule], bad: pl.DataFrame) -> pl.DataFrame:
    """The bad rows again, now with the value as it stands in the file."""
    if bad.is_empty():
        return REJECTS.to_frame()
    schema = read_schema(raw)
    found = raw.rows.join(bad.lazy(), on=ROW).collect(engine="streaming").sort(ROW)
    lines = []
    for code in found[_BROKEN].unique().sort():
        rule = rules[code]
        lines.append(
            found.lazy()
            .filter(pl.col(_BROKEN) == code)
            .select(
                pl.lit(table.name).alias("table"),
                pl.lit(raw.file).alias("file"),
                pl.col(ROW).cast(pl.Int64).alias("row"),
                pl.lit(rule.column.removeprefix("\0")).alias("column"),
                _shown(rule.column, schema).alias("value"),
                pl.lit(rule.text).alias("rule"),
            )
        )
    rejects = pl.concat(lines).sort("row").collect()
    naive = rejects.filter(pl.col("rule") == NO_ZONE)
    if not naive.is_empty():
        _, file, row, column, value, _ = naive.row(0)
        raise DataError(
            f"{file}, row {row}: {column} {value!r} is a time without a zone. Import the files "
            "with the zone of their times, for example --timezone Europe/Berlin."
        )
    return rejects


def _shown(name: str, schema: pl.Schema) -> pl.Expr:
    if name not in schema:
        return pl.lit(None, TEXT)
    value = pl.col(name)
    if isinstance(schema[name], pl.List):
        return value.cast(pl.List(TEXT), strict=False).list.join("|", ignore_nulls=True)
    return value.cast(TEXT, strict=False)


def _first_of_each(
    table: Table, rows: pl.DataFrame, files: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    key = [name for name in table.unique if name in rows.columns]
    if not key or table.unique[0] not in key:
        return rows, REJECTS.to_frame()
    first = pl.col(key[0]).is_null() | pl.struct(key).is_first_distinct()
    if len(key) == 1:  # ten times faster than a struct of one
        first = pl.col(key[0]).is_null() | pl.col(key[0]).is_first_distinct()
    kept = rows.with_columns(first.alias(_BROKEN))
    if kept[_BROKEN].all():
        return rows, REJECTS.to_frame()
    repeated = kept.filter(~pl.col(_BROKEN)).select(
        pl.lit(table.name).alias("table"),
        pl.col(_PART).replace_strict(dict(enumerate(files)), return_dtype=TEXT).alias("file"),
        pl.col(ROW).cast(pl.Int64).alias("row"),
        pl.lit(key[0]).alias("column"),
        pl.col(key[0]).alias("value"),
        pl.lit(f"a row with this {' and '.join(key)} came before").alias("rule"),
    )
    return kept.filter(_BROKEN).drop(_BROKEN), repeated


def _refuse_too_many(
    table: Table, parts: Sequence[Part], rejects: pl.DataFrame, *, good: int, most: float
) -> None:
    count = rejects.height
    total = good + count
    if count <= most * total:
        return
    kinds = rejects.group_by("column", "rule", maintain_order=True).agg(
        pl.len().alias("rows"), pl.first("file", "row", "value")
    )
    reasons = "; ".join(
        f"{column}: {rule} ({rows:,}, first {value!r} in row {row}{_of(file, parts)})"
        for column, rule, rows, file, row, value in kinds.sort("rows", descending=True)
        .head(3)
        .iter_rows()
    )
    name = parts[0].file if len(parts) == 1 else table.name
    raise DataError(
        f"{name}: {count:,} of {total:,} rows are bad, more than {most:.2%}. {reasons}. "
        f"Mend them, or set them aside with --max-rejects {_rounded_up(count / total)}."
    )


def _of(file: str, parts: Sequence[Part]) -> str:
    return f" of {file}" if len(parts) > 1 else ""


def _rounded_up(share: float) -> str:
    return f"{min(1.0, (int(share * 1000) + 1) / 1000):g}"


def _missing(name: str, file: str, present: Sequence[str]) -> DataError:
    shown = [column for column in present if not column.startswith("\0")]
    nearest = difflib.get_close_matches(name, shown, n=1)
    mend = f"Rename {nearest[0]} to {name}" if nearest else "Add it"
    return DataError(f"{file}: column {name} is missing; there is {', '.join(shown)}. {mend}.")


def _unreadable(part: Part, error: Exception) -> DataError:
    cause = str(error).strip().splitlines()[0][:200]
    return DataError(
        f"{part.file} cannot be read: {cause}. Write it again; "
        "CSV in UTF-8, with text in double quotes."
    )

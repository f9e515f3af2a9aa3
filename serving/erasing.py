"""Erased members leave the dataset: file by file, each whole or not at all.

Every drain looks again at every file, so what an import or a backup brings back goes, too. It is
the same again whenever it was killed: identities first, for they tell whose the events were.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recsys.dataset import TABLES, Dataset
from recsys.errors import AccessError
from recsys.identities import ERASED, owned
from serving import parts
from serving.erasure_key import ErasureKey, check_hash, erasure_key

HAPPENED = {
    "events": ("occurred_at",),
    "identities": ("at",),
    "members": ("valid_from", "joined_at"),
    "pushes": ("sent_at",),
    "redemptions": ("redeemed_at",),
    "arms": ("at",),
    "impressions": ("shown_at",),
}
"""When a row of each table that names members happened. One that tells no time goes, too."""

_ROW = "\0row"
Until = Mapping[str, int]
"""by member id: what happened up to this instant goes, in microseconds"""


class Erasures:
    """Who was erased until when, as the dataset's `erasures` have it: under keyed hashes."""

    def __init__(self, dataset: Path, home: Path | None) -> None:
        """`home` holds the key of the hashes. It is made with the first erasure."""
        self._dataset = Dataset(dataset)
        self._home = home
        self._key: ErasureKey | None = None
        self._until: dict[str, int] = {}
        for member_hash, until in (
            self._dataset.read("erasures").with_columns(pl.col("until").dt.epoch("us")).iter_rows()
        ):
            check_hash(member_hash, self._hashing(), self._folder())
            self._until[member_hash] = max(until, self._until.get(member_hash, until))

    def record(self, members: Until, path: Path) -> None:
        """Write the part of the dataset that remembers these, and count them in."""
        hashes = {self._hashing().hash(member): until for member, until in members.items()}
        path.parent.mkdir(exist_ok=True)
        rows = pl.DataFrame({"member_hash": hashes.keys(), "until": hashes.values()})
        schema = TABLES["erasures"].schema
        parts.write(rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items()), path)
        for member_hash, until in hashes.items():
            self._until[member_hash] = max(until, self._until.get(member_hash, until))

    def apply(self) -> None:
        """Take every erased member out of every file that still has it."""
        if not self._until:
            return
        tables = [table for table in HAPPENED if self._dataset.has(table)]
        if not tables:
            return
        named = [self._dataset.scan(table).select("member_id").unique() for table in tables]
        until = self._found(pl.concat(named).collect(engine="streaming")["member_id"])
        for path in self._dataset.files("identities"):
            rows = self._dataset.scan_file("identities", path).collect()
            if not (hidden := self._tombstones(rows, until)).equals(rows):
                parts.write(pl.read_parquet(path).with_columns(hidden["member_id"]), path)
        logins = self._logins_of_erased()
        for table in tables:
            for path in self._dataset.files(table) if table != "identities" else ():
                self._rewrite(table, path, until, logins)

    def identities(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Identifications without the names of erased members."""
        return self._tombstones(rows, self._found(rows["member_id"]))

    def events(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Events without those of erased members, once their identifications are written."""
        if not self._until:
            return rows
        lines = rows.with_row_index(_ROW)
        until = self._found(rows["member_id"])
        gone = _gone("events", lines.lazy(), until, self._logins_of_erased())
        return lines.filter(~pl.col(_ROW).is_in(gone.implode())).drop(_ROW)

    def kept(self, table: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of a table, events apart, without those of erased members."""
        until = self._found(rows["member_id"])
        return rows.filter(_is_gone(table, until).not_()) if until else rows

    def _rewrite(self, table: str, path: Path, until: Until, logins: pl.DataFrame) -> None:
        lines = self._dataset.scan_file(table, path).with_row_index(_ROW)
        gone = _gone(table, lines, until, logins)
        if len(gone):
            # as it stands in the file: its owner's types and further columns stay
            rest = pl.scan_parquet(path).with_row_index(_ROW)
            parts.write(rest.filter(~pl.col(_ROW).is_in(gone.implode())).drop(_ROW), path)

    def _found(self, members: pl.Series) -> dict[str, int]:
        """Those of these members that were erased."""
        if not self._until:
            return {}
        key = self._hashing()
        hashes = {member: key.hash(member) for member in members.drop_nulls().unique()}
        return {one: self._until[text] for one, text in hashes.items() if text in self._until}

    def _tombstones(self, rows: pl.DataFrame, until: Until) -> pl.DataFrame:
        if not until:
            return rows
        key, member = self._hashing(), pl.col("member_id")
        hidden = member.replace({one: f"erased:{key.hash(one)}" for one in until})
        gone = _is_gone("identities", until)
        return rows.with_columns(pl.when(gone).then(hidden).otherwise(member).alias("member_id"))

    def _logins_of_erased(self) -> pl.DataFrame:
        """All identifications of the visitors that were an erased member at some time."""
        logins = self._dataset.scan("identities")
        erased = logins.filter(pl.col("member_id").str.contains(ERASED))
        return logins.join(
            erased.select("visitor_id").unique(), on="visitor_id", how="semi"
        ).collect()

    def _hashing(self) -> ErasureKey:
        if self._key is None:
            self._key = erasure_key(self._folder())
        return self._key

    def _folder(self) -> Path:
        if self._home is None:
            raise AccessError("members were erased, and no folder is named that holds the key")
        return self._home


def _is_gone(table: str, until: Until) -> pl.Expr:
    happened = pl.coalesce(HAPPENED[table]).dt.epoch("us")
    last = pl.col("member_id").replace_strict(until, default=None, return_dtype=pl.Int64)
    return last.is_not_null() & (happened.is_null() | (happened <= last))


def _gone(table: str, lines: pl.LazyFrame, until: Until, logins: pl.DataFrame) -> pl.Series:
    """Row numbers of an erased member's rows, and of what its visitors did as that member."""
    found = []
    if until:
        gone = lines.filter(_is_gone(table, until))
        found.append(gone.select(_ROW).collect(engine="streaming")[_ROW])
    if table == "events" and not logins.is_empty():
        visitors = logins["visitor_id"].unique().implode()
        theirs = lines.filter(pl.col("member_id").is_null() & pl.col("visitor_id").is_in(visitors))
        columns = (_ROW, "occurred_at", "member_id", "visitor_id")
        events = theirs.select(columns).collect(engine="streaming")
        erased = owned(events, logins).filter(pl.col("member_id").str.contains(ERASED))
        found.append(erased[_ROW])
    return pl.concat(found) if found else pl.Series(_ROW, [], pl.UInt32)

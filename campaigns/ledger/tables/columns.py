"""What every table of the ledger is made of."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Text

metadata = MetaData()
Serial = BigInteger().with_variant(Integer, "sqlite")


def words(name: str, *, null: bool = False) -> Column[str]:
    """A text column."""
    return Column(name, Text, nullable=null)


def number(name: str, *, null: bool = False) -> Column[int]:
    """Microseconds since 1970, minor units, or a count."""
    return Column(name, BigInteger, nullable=null)

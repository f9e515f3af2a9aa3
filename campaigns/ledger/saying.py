"""A yes or a no of a person on a channel, added to what they said before."""

from sqlalchemy import Connection, text


def say(
    connection: Connection, person: str, channel: str, granted: bool, *, at: int, source: str
) -> None:
    """Add a yes or a no. What is said last counts, also where another machine's clock was ahead:
    never at an instant before that of what it takes back."""
    said = {"person": person, "channel": channel, "now": at, "source": source}
    connection.execute(_SAY, said | {"granted": int(granted)})


_SAY = text("""
INSERT INTO consent (person, channel, granted, at, recorded_at, source)
SELECT :person, :channel, :granted, CASE WHEN latest >= :now THEN latest + 1 ELSE :now END,
       :now, :source
FROM (SELECT MAX(at) AS latest FROM consent WHERE person = :person AND channel = :channel) said
""")

"""How well Guesslike ranks on public data, beside what was published of it."""

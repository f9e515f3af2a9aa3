"""Everything once, on a real shop's year: from its files to a sent campaign and a page to try."""

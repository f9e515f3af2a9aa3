"""Whether the fast path answers what scoring every product would."""

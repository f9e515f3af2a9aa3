"""What comes in from outside: lists of an older system, other senders, providers, restores."""

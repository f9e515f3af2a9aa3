"""What a shop would run otherwise, measured beside Guesslike."""

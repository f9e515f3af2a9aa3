"""Who may ask for what: keys of programs, tokens of browsers, rate limits, origins."""

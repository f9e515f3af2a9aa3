"""How near to the optimum plans come, and how long a million members take."""

"""How many sends a second are recorded, and how fast a killed sender goes on."""

"""How time and memory of training grow with the shop."""

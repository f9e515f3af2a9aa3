"""How fast recommendations are answered."""

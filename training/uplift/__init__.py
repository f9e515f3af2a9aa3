"""What pushes change, learned from pushes that a draw held back from some."""

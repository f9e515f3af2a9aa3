"""Makes a model from a dataset, and says how good it is."""

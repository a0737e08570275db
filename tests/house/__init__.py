"""The house measured: how large, how high, how tangled, and how well said the code is."""

"""The audit of a mix's tables: their columns, order, placement and repeats."""

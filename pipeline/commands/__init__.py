"""The commands: their options, the work, its report."""

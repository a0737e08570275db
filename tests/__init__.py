"""Tests, one folder for each package they hold to its claims."""

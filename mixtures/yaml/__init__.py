"""YAML read strictly: fields, events, trees, and the shipped files."""

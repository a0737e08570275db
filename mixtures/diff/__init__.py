"""Two mixes compared: what differs, by how much, and why."""

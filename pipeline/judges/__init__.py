"""What filters and evaluation sets must know of every document."""

"""What a mix says of what was judged, held against itself and its recipe."""

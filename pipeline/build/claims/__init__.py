"""What a manifest says of a mix, before a byte is written and when all of it is."""

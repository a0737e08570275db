"""What lies in a source's folder beside what is read of it."""

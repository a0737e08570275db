"""Commands that write what recipes are made of."""

"""Tokenizers: what a recipe asks for, what a tokenizer.json says, and the definition of both."""

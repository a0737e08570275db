"""Folders and object stores."""

"""The token store: folders, records, columns, locks."""

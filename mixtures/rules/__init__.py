"""The rules by which a document is judged: blocklists, filters, evaluation sets,
near-duplicates.
"""

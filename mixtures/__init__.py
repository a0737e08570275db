"""What to take: pure decisions about recipes, quotas, keys, selection, order, formats, manifests
and audits.
"""

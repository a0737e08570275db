"""Near-duplicates at scale: band keys, edges between documents that share one, clusters, and what
is dropped. Rule: `mixtures.rules.near`.
"""

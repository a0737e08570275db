"""Annotators: what is noted of every text in the reading that ingests it.

reading        opens the annotators of a plan, and writes what they noted beside the ledger
annotator      what each of them does with a segment's texts: terms, n-grams, band keys
blocklist      distinct terms of a document, found by the kernels of n-grams
contamination  items of evaluation sets (`evaluation_sets`) that a document holds; `ngram_table`,
               `ngram_kernels`
bands          band keys for near-duplicates; `band_kernels`
folding        words in folded form, which the first two share; `text_kernels`
"""

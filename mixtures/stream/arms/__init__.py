"""Aligned arms of a study: mixes that differ only inside slots, where a document that a filter
removes was replaced by unused ones of the same tokens.

    study    what a user asks for: a base, arms of it, and where donors come from
    load     a study read from its file, with all that it refers to
    donors   which donor fills which slot, from lengths alone
    figures  how slots are filled, by source, and what of it will not do
"""

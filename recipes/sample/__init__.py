"""The sample that annealmix ships: synthetic text in the published layouts, made by `python -m
recipes.sample.make_sample`.
"""

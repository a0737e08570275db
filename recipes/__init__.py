"""What to build: the recipes, source definitions and tokenizers that annealmix ships, as YAML files
beside this one.
"""

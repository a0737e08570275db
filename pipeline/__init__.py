"""Doing it: readers, tokenizing, the store, the stages of a build, executors and the command line."""

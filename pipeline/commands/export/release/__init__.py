"""A mix as a data set that can be published: one folder, and its repository on the hub."""

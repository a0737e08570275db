"""Where a mix appears: a folder of this machine, or an object store."""

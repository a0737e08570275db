"""Which files a source consists of, and reading them into documents."""

"""The command line of weightspace: one module per command, one sink for output (`console`), one table of errors."""

"""Model families of transformers, a table for each kind."""

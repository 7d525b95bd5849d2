"""Networks that read networks: metanetworks that respect the symmetry of what they read."""

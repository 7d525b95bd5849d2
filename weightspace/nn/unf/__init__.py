"""Universal neural functionals: equivariant networks on the weights of any network of one spec (Zhou et al. 2024)."""

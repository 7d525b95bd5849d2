"""What others do, written down to measure beside: nothing in the package uses it."""

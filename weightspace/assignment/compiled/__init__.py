"""Linear assignment compiled with numba (extra `fast`); nothing here is imported where numba is absent."""

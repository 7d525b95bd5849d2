"""Linear assignment where the scores are: a batched auction on their device, a shortlist finished exactly on the CPU.

Dense scores never leave the device. The code is plain torch and runs on any device. The CPU's share needs numba.
"""

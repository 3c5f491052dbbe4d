"""Jobs and processes: shim, start, adopt, wait, cancel, kill the tree, tail, identity, keeper.

This file imports nothing: the shim and the keeper import their own modules through it, and every
import here would be part of the start of every job.
"""

"""Handlers by noun: each checks what only the caller's rights decide, makes one call of the store, and answers."""

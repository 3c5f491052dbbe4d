"""The process: its nursery tree, signals, lock, health and end."""

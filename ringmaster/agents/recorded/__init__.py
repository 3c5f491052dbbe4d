"""The steps that the scripted agent can do. Standard library only: its program runs without site packages."""

"""The programs that work: per kind a command line, how to read its stream, and what its evidence is worth."""

"""Events, agents' steps and lines of output in one feed, from any cursor on; who sends it knows the wire."""

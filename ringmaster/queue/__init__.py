"""Use cases of the queue. Each is one synchronous function that runs in one transaction."""

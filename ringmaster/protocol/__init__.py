"""The wire: JSON-RPC envelopes, line framing, and the types of every method."""

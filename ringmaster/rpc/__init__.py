"""The control plane: the JSON-RPC server, who may do what, the method table, handlers by noun."""

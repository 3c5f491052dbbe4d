"""The door on loopback: pages, `/rpc`, `/health` and `/metrics` over HTTP, and the way to the websocket."""

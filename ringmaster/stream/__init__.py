"""The feed over websockets. The only part that knows the websocket library."""

"""`make selfhost`: Ringmaster works on its own source. A blocking client program beside `rmctl`; imports no trio."""

"""`nextstate bench clients`: real clients talk to a real gateway, and the log says what became of it."""

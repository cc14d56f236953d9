"""What the log costs and how fast it answers, each beside a named alternative."""

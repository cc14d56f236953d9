"""How to connect clients: which there are, and the lines that each needs, which are those that the benchmark runs."""

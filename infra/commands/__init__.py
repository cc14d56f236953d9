"""What the commands do, one module each; infra/cli.py imports them only when they are called."""

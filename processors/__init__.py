"""From recorded events to batches: join, assess, credit, build, pack. Pure functions; app.py alone knows Faust."""

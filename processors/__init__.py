"""From recorded events to batches: join, assess, credit, build, pack.

Start reading at advance.py (what one more record about a turn brings about), then pack.py. Stages make that durable and
pumps feed them; app.py runs all of it on Faust (faust_app.py).
"""

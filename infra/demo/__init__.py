"""The main job: a scripted user talks to the whole stack, and the model that answers learns from the replies.

Start reading at job.py. user.py is the person, questions.py what is asked, evaluate.py the measurement, display.py
what is shown meanwhile, report.py the proof at the end.
"""

from infra.demo.job import run_demo

__all__ = ["run_demo"]

"""The main job: a scripted user talks to the whole stack, and the model that answers learns from the replies.

Start reading at job.py. user.py is the person, questions.py what is asked, talk.py through what (the openai SDK of
sdk.py, or the agent frameworks of framework.py), evaluate.py the measurement, display.py what is shown meanwhile,
report.py the proof at the end.
"""

from infra.demo.job import run_demo

__all__ = ["run_demo"]

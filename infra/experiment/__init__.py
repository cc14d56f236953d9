"""The paper's protocol: simulated users talk to the real pipeline; how soon its model does what they like.

Start reading at run.py. users.py, rules.py, wordings.py and questions.py are the people; world.py says what they talk
to: rig.py and pipeline.py are the pipeline in one process, engine.py, decoder.py and llama.py its engine, live.py is a
whole stack; methods.py is what is compared, drift.py what it may cost; job.py runs a whole table, table.py and
figures.py show it.
"""

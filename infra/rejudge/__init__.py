"""History judged again: new verdicts and hints beside the old ones, and a policy that learns from them.

`rejudge` (job.py) derives a slice anew, with another judge and for a policy of another name, into a branch of the log
(streams/branches.py). `train_branch` (train.py) is the ordinary trainer on that branch. Nothing is overwritten.
"""

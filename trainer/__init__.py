"""The learner: objectives (the heart), loop, backends, checkpoints, publishing."""

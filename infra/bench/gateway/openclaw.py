"""Runs the API server of a checkout of Gen-Verse/OpenClaw-RL: `python openclaw.py CHECKOUT MODEL ENGINE_PORT`.

Started by path, in any Python that has what the server imports (fastapi, uvicorn, httpx, transformers, torch); so it
imports nothing of ours. Their code runs as it is: `openclaw_api_server.py`, with slime's own `load_tokenizer` and
`Sample`. Per request it forwards (with log-probs, never streaming), renders and tokenises prompt and reply, makes a
sample, logs, and appends to its record file, as its launch script sets it up. Host, port and record file are theirs to
read from the environment.

Left out, all in its favour:
* the judge (`prm_enable`): per turn three requests to a reward model, which the same process makes;
* what takes samples to a trainer (Ray, slime's rollout loop, weight updates, during which it answers 503; wandb): they
  are taken off its queue and dropped.
"""

import importlib
import logging
import queue
import sys
import threading
from argparse import Namespace

MAX_QUEUED = 100_000  # as openclaw_rollout.py has it


def main(checkout: str, model: str, engine_port: str) -> None:
    """Serves until it is ended from outside."""
    sys.path[:1] = [f"{checkout}/openclaw-rl", f"{checkout}/slime"]  # in place of this script's own folder
    logging.basicConfig(  # as slime.utils.logging_utils does, which needs wandb
        level=logging.INFO,
        format="[%(asctime)s] %(filename)s:%(lineno)d - %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        force=True,
    )
    samples: queue.Queue[object] = queue.Queue(maxsize=MAX_QUEUED)
    may_submit = threading.Event()
    may_submit.set()
    settings = Namespace(
        hf_checkpoint=model, sglang_router_ip="127.0.0.1", sglang_router_port=int(engine_port), prm_enable=False
    )
    module = importlib.import_module("openclaw_api_server")
    module.OpenClawAPIServer(args=settings, output_queue=samples, submission_enabled=may_submit).start()
    while True:
        samples.get()


if __name__ == "__main__":
    main(*sys.argv[1:])

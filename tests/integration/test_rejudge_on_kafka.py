"""History judged again becomes a policy of its own, on a real broker, with the real trainer and a tiny model."""

import asyncio
from itertools import pairwise

import pytest
from processor_world import BAD, GOOD, HINTED, LetterRenderer
from replay_world import echoes, lived, reader, records_of

from infra.rejudge.job import rejudge, write_branch
from infra.rejudge.train import policy_of, train_branch
from infra.replay.slice import Selection
from infra.settings import Settings, run_configured
from infra.tiny_model import save_tiny_llama
from processors.config import ProcessorsConfig
from schemas.errors import FatalError
from schemas.events import VersionSpan
from streams.admin import create_topics
from streams.branches import branch_of, branches
from streams.consumer import read_all
from streams.lineage import find, render_tree
from streams.query import LogQuery
from streams.topics import CHECKPOINTS, TOPICS, TRAINED
from trainer.config import TrainerConfig

pytestmark = pytest.mark.kafka

POLICY = "assistant-again"
CONFIG = TrainerConfig(lora_rank=4, lora_alpha=8, learning_rate=1e-2, keep_checkpoints=2)


def judged_again(**fields):
    """Twelve turns, all of which train, in six batches."""
    return rejudge(
        reader(records_of(lived(*[(GOOD, BAD, HINTED)] * 4, **fields).log)),
        Selection(),
        policy=POLICY,
        assessors=echoes(),
        renderer=LetterRenderer(),
        config=ProcessorsConfig(batch_size=2),
    )


def test_a_policy_from_judged_history_walks_back_to_its_conversations_and_the_log_stays_as_it_was(kafka, tmp_path):
    save_tiny_llama(tmp_path / "model", 256, num_key_value_heads=1)
    branch = branch_of(kafka, "again")
    drawn_by_others = (VersionSpan(version=9, start=0, end=2),)
    found = judged_again(token_versions=drawn_by_others)
    asyncio.run(write_branch(branch, found, run_configured(Settings(policy=POLICY))))
    assert branches(kafka) == ["again"]
    assert policy_of(branch, "again") == POLICY

    def train():
        place = {"model_path": tmp_path / "model", "home": tmp_path, "heartbeat": tmp_path / "beat"}
        return train_branch(branch, POLICY, CONFIG, **place)

    trained = train()
    versions = trained.checkpoints
    assert [each.version for each in versions] == [1, 2, 3, 4, 5, 6]
    assert versions[0].parent_version == 0
    assert all(after.parent_version == before.version for before, after in pairwise(versions))
    assert not any(name.startswith("parity") for name in versions[0].metrics), "nobody of this line drew the tokens"
    tree = render_tree(find(LogQuery(branch), f"{POLICY}@1"))
    assert "of conversation c-0" in tree
    assert "+1 by judge echo" in tree
    assert "hello" in tree or "question 0" in tree
    actions = [record.event.action_id for record in read_all(branch, (TRAINED,))]
    assert len(actions) == len(set(actions)) == 12

    assert train().checkpoints == versions  # everything is trained: a second call adds nothing
    assert list(read_all(kafka, TOPICS)) == [], "the live log has got something of it"


def test_a_run_that_was_not_finished_is_not_trained(kafka):
    branch = branch_of(kafka, "half")
    create_topics(branch)  # as far as a `rejudge` had come that was killed
    with pytest.raises(FatalError, match="was not finished"):
        policy_of(branch, "half")
    assert list(read_all(branch, (CHECKPOINTS,))) == []


def test_a_run_whose_topics_are_not_empty_is_refused(kafka):
    branch, found = branch_of(kafka, "twice"), judged_again()
    run = run_configured(Settings(policy=POLICY))
    asyncio.run(write_branch(branch, found, run))
    with pytest.raises(FatalError, match="choose another name"):
        asyncio.run(write_branch(branch, found, run))

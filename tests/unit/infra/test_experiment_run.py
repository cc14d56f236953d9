"""A whole run on a tiny model: the real gateway, stages and trainer, and a file that says what came of it."""

from functools import partial
from pathlib import Path

import pytest
from example_transition import example_transition
from experiment_world import small_world

from infra.experiment.drift import read_text
from infra.experiment.judging import FlippedJudge, FollowUpHints, NoHints
from infra.experiment.methods import IN_TABLE, METHODS
from infra.experiment.rig import open_rig
from infra.experiment.run import RunSettings, run_config, run_one
from infra.experiment.run_log import RunId, read_run, run_path
from infra.home import Home
from infra.tiny_model import make_tiny_model
from processors.ports import Judgement
from schemas.errors import RejectedError
from schemas.events import Message
from serving.rendering import ChatRenderer

CAP = 3
END_ID = 256  # behind the bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("run") / "tiny")


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Runs a method on the tiny model, once."""
    open_world = partial(open_rig, model_path=folder, home=Home(folder))
    found = {}

    def go(run_id, out="out"):
        if (run_id, out) not in found:
            settings = RunSettings(cap=CAP, out=tmp_path_factory.getbasetemp() / out, questions=None)
            run_one(RunId.parse(run_id), settings, open_world)
            found[run_id, out] = read_run(run_path(settings.out, RunId.parse(run_id)))
        return found[run_id, out]

    with small_world():
        yield go


def without_times(lines):
    return [{name: value for name, value in line.items() if "second" not in name} for line in lines]


def test_a_run_trains_on_what_was_said_and_serves_what_it_learnt(run):
    found = run("hybrid_paper.joint.1")
    assert found.done["score"] > 0
    assert [update["version"] for update in found.updates] == list(range(1, len(found.updates) + 1))
    assert found.updates
    assert max(update["parity_max"] for update in found.updates) < 1e-3
    versions = [session["version"] for session in found.sessions]
    assert versions[:3] == [0, 0, 0]
    assert max(versions) >= 1
    assert found.done["drift"]["kl"] > 0
    assert {session["user"] for session in found.sessions} == {"student", "ta", "teacher"}


def test_the_same_seed_gives_the_same_run(run):
    one, other = run("hybrid_paper.joint.1"), run("hybrid_paper.joint.1", "again")
    assert without_times(one.sessions) == without_times(other.sessions)
    assert without_times(one.updates) == without_times(other.updates)
    assert one.done["drift"] == other.done["drift"]


@pytest.mark.parametrize("method", ["none", "prompt_memory"])
def test_a_method_without_training_stays_the_base(run, method):
    found = run(f"{method}.joint.1")
    assert found.updates == []
    assert {session["version"] for session in found.sessions} == {0}
    drift = found.done["drift"]
    assert drift["kl"] == pytest.approx(0, abs=1e-6)
    assert drift["general_logprob"] == pytest.approx(drift["general_logprob_base"], abs=1e-6)


def test_flipped_verdicts_are_negated_on_their_way_to_the_trainer(run):
    straight, flipped = run("binary_rl.joint.1"), run("flipped.joint.1")
    assert flipped.updates[0]["reward_mean"] == -straight.updates[0]["reward_mean"]


def test_a_user_alone_talks_alone(run):
    found = run("none.apart-teacher.1")
    assert {session["user"] for session in found.sessions} == {"teacher"}


@pytest.mark.parametrize(
    "text",
    ["hybrid_paper", "hybrid_paper.joint", "hybrid_paper.joint.x", "hybrid_paper.elsewhere.1", "a.b.c.d", ".live"],
)
def test_what_is_no_run_is_refused(text):
    with pytest.raises(RejectedError, match="is no run"):
        RunId.parse(text)


def test_a_run_id_is_read_back_as_it_was_written():
    for user in (None, "ta"):
        for live in (False, True):
            run_id = RunId(method="opd", user=user, seed=12, live=live)
            assert RunId.parse(str(run_id)) == run_id


@pytest.mark.parametrize("run_id", ["magic.joint.1", "none.apart-nobody.1"])
def test_an_unknown_method_or_user_is_refused_with_the_known_ones(run_id, tmp_path):
    with pytest.raises(RejectedError, match="choose among"):
        run_config(RunId.parse(run_id), RunSettings(cap=3, out=tmp_path, questions=None))


@pytest.mark.parametrize("method", ["flipped", "hybrid_follow_up", "binary_rl", "none", "prompt_memory"])
def test_what_the_settings_of_a_stack_cannot_say_is_not_run_live(method, tmp_path):
    settings = RunSettings(cap=3, out=tmp_path, questions=None)
    assert run_config(RunId(method=method, user=None, seed=1), settings)
    with pytest.raises(RejectedError, match="choose among hybrid_paper, opd, combined, hybrid_slow"):
        run_config(RunId(method=method, user=None, seed=1, live=True), settings)


def test_the_table_is_made_of_known_methods_and_only_controls_do_not_train():
    assert set(IN_TABLE) <= set(METHODS)
    assert {name for name, method in METHODS.items() if method.objective is None} == {"none", "prompt_memory"}


async def test_a_flipped_judge_negates_votes_and_keeps_abstentions():
    class Scripted:
        name, version = "scripted", "1"

        async def judge(self, transitions):
            return [Judgement(score=score, votes=(score, None)) for score in transitions]

    flipped = await FlippedJudge(Scripted()).judge([1, 0, -1, None])
    assert [one.score for one in flipped] == [-1, 0, 1, None]
    assert [one.votes for one in flipped] == [(-1, None), (0, None), (1, None), (None, None)]


async def test_a_follow_up_is_a_hint_whatever_its_verdict():
    thanks = example_transition(Message(role="user", content="Thank you so much."))
    judgement = Judgement(score=1, votes=(1,))
    assert (await FollowUpHints().extract(thanks, judgement)).hints == ("Thank you so much.",)
    assert (await NoHints().extract(thanks, judgement)).hints == ()


def test_a_held_out_text_is_what_the_policy_would_have_said(folder):
    renderer = ChatRenderer(folder)
    response = read_text(renderer, frozenset({END_ID}), "Why?", "Because it rains.")
    assert renderer.decode(response.response_ids_T.tolist()) == "Because it rains."
    assert response.response_ids_T[-1] == END_ID
    assert tuple(response.prompt_ids_P.tolist()) == renderer.render((Message(role="user", content="Why?"),), "[]", "{}")

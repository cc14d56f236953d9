"""The torch backend against plain transformers and peft, on a tiny real model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from schemas.errors import MissingRuntimeError, RejectedError, SettingsError
from trainer.backends.base import Response
from trainer.backends.torch import TorchBackend
from trainer.config import TrainerConfig

RESPONSE = Response(
    prompt_ids_P=torch.tensor([3, 1, 4, 1, 5], dtype=torch.int32),
    response_ids_T=torch.tensor([9, 2, 6, 5], dtype=torch.int32),
    temperature=0.7,
)
Load = Callable[[], TorchBackend]

SYSTEM = [7, 7, 3]
HISTORY = [*SYSTEM, 20, 21, 22, 23, 24]  # with a first answer, 22 to 24
FAMILIES = {
    "the turns of one conversation": [(SYSTEM, [20, 21]), (HISTORY, [30, 31]), ([*HISTORY, 30, 31, 9], [40])],
    "answers to one question": [(HISTORY, [30, 31, 32]), (HISTORY, [30, 33]), (HISTORY, [34]), (HISTORY, [34])],
    "one answer under several hints": [([*HISTORY, *hint], [30, 31]) for hint in ([], [50], [50, 51], [52])],
    "strangers": [([1, 2], [3]), ([4, 5], [6, 7]), ([8], [9])],
}
TEMPERATURES = (0.7, 1.0, 1.3, 0.8)


def student(backend: TorchBackend) -> Tensor:
    (logprobs_TV,) = backend.student([RESPONSE])
    return logprobs_TV


def base(backend: TorchBackend) -> Tensor:
    (logprobs_TV,) = backend.base([RESPONSE])
    return logprobs_TV


def learn(backend: TorchBackend, num_steps: int = 1) -> None:
    """Makes the response likelier."""
    for _ in range(num_steps):
        logprobs_TV = student(backend)
        backend.backward(-logprobs_TV.gather(-1, RESPONSE.response_ids_T.long()[:, None]).mean())
        backend.step(1)


def plain_logprobs(model: object) -> Tensor:
    """[T, V] the long way: logits of every position, then the rows before each response token."""
    ids = torch.cat((RESPONSE.prompt_ids_P, RESPONSE.response_ids_T)).long()[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]  # type: ignore[operator]
    return torch.log_softmax(logits[len(RESPONSE.prompt_ids_P) - 1 : -1] / RESPONSE.temperature, dim=-1)


def test_row_t_is_what_the_policy_thought_before_response_token_t(backend: TorchBackend, tiny_model: Path) -> None:
    plain = plain_logprobs(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32))
    torch.testing.assert_close(student(backend).detach(), plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(base(backend), plain, atol=1e-5, rtol=0)


def family(name: str) -> list[Response]:
    """Of mixed integer types, as prompts come from Arrow and from tests."""
    return [
        Response(
            prompt_ids_P=torch.tensor(prompt, dtype=torch.int32),
            response_ids_T=torch.tensor(response, dtype=torch.int32),
            temperature=temperature,
        )
        for (prompt, response), temperature in zip(FAMILIES[name], TEMPERATURES, strict=False)
    ]


def gradient(backend: TorchBackend, passes: list[Tensor]) -> Tensor:
    """Of a sum in which every log-prob has a weight of its own; read off the change of AdamW's first moment."""

    def moments() -> Tensor:
        return torch.cat([value.flatten() for name, value in backend.state().items() if name.endswith("exp_avg")])

    before = moments()
    rows = torch.cat([logprobs_TV.flatten() for logprobs_TV in passes])
    backend.backward((rows * torch.arange(len(rows)).cos()).mean())
    backend.step(1)
    return 10 * (moments() - 0.9 * before)


@pytest.mark.parametrize("name", FAMILIES)
def test_company_changes_neither_log_probs_nor_gradient(load: Load, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    alone, together, responses = load(), load(), family(name)
    learn(alone, 2)  # an adapter at 0 would have a gradient in half of its weights only
    together.load_state(alone.adapter(), alone.state())
    monkeypatch.setattr(together, "groups", lambda responses, *, frozen: [list(range(len(responses)))])
    frozen, moved = together.base(responses), together.student(responses)
    own = [alone.student([response])[0] for response in responses]
    for number, response in enumerate(responses):
        torch.testing.assert_close(frozen[number], alone.base([response])[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(moved[number], own[number], atol=1e-5, rtol=0)
    expected = gradient(alone, own)
    assert expected.abs().max() > 1e-2
    torch.testing.assert_close(gradient(together, moved), expected, atol=1e-5, rtol=0)


def test_a_pass_that_keeps_nothing_for_a_gradient_may_hold_more(tiny_model: Path, config: TrainerConfig) -> None:
    backend = TorchBackend.load(tiny_model, config.model_copy(update={"max_pass_tokens": 25}))
    trunk = torch.full((20,), 5)
    siblings = [
        Response(prompt_ids_P=trunk, response_ids_T=torch.full((4,), word), temperature=1.0) for word in (1, 2, 3)
    ]
    assert len(backend.groups(siblings, frozen=False)) == 3
    assert len(backend.groups(siblings, frozen=True)) == 1


def test_answers_come_in_the_order_of_the_questions(backend: TorchBackend) -> None:
    responses = [one for name in reversed(FAMILIES) for one in family(name)]
    for response, logprobs_TV in zip(responses, backend.base(responses), strict=True):
        torch.testing.assert_close(logprobs_TV, backend.base([response])[0], atol=1e-5, rtol=0)


def test_learning_moves_the_student_and_never_the_base(backend: TorchBackend) -> None:
    before = base(backend)
    own_before = backend.logprobs(RESPONSE, backend.adapter())
    learn(backend, 3)
    assert torch.equal(base(backend), before)
    assert (backend.logprobs(RESPONSE, backend.adapter()) > own_before).all()
    assert torch.equal(
        backend.logprobs(RESPONSE, None), before.gather(-1, RESPONSE.response_ids_T.long()[:, None])[:, 0]
    )


def test_scoring_under_an_older_adapter_leaves_the_newer_one_in_place(backend: TorchBackend) -> None:
    older, at_older = backend.adapter(), backend.logprobs(RESPONSE, backend.adapter())
    learn(backend, 2)
    newer = student(backend).detach()
    assert torch.equal(backend.logprobs(RESPONSE, older), at_older)
    assert torch.equal(student(backend).detach(), newer)


def test_what_is_exported_is_what_peft_loads(backend: TorchBackend, tiny_model: Path, tmp_path: Path) -> None:
    learn(backend, 2)
    backend.export_adapter(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    plain = plain_logprobs(PeftModel.from_pretrained(base, tmp_path))
    torch.testing.assert_close(student(backend).detach(), plain, atol=1e-5, rtol=0)


def test_a_resumed_backend_goes_on_exactly_where_the_other_stopped(load: Load, tmp_path: Path) -> None:
    straight, stopped, resumed = load(), load(), load()
    learn(straight, 4)
    learn(stopped, 2)
    resumed.load_state(stopped.adapter(), stopped.state())
    learn(resumed, 2)
    files = []
    for name, backend in (("straight", straight), ("resumed", resumed)):
        (tmp_path / name).mkdir()
        backend.export_adapter(tmp_path / name)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert files[0] == files[1]
    states = straight.state(), resumed.state()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_backend_that_no_gradient_has_moved_yet_resumes(load: Load, tmp_path: Path) -> None:
    stopped, resumed = load(), load()
    stopped.backward(student(stopped).sum() * 0)
    assert stopped.step(1) == 0
    save_file(dict(stopped.state()), tmp_path / "state")
    learn(resumed)  # what it has is not what it is to continue from
    resumed.load_state(stopped.adapter(), load_file(tmp_path / "state"))
    learn(stopped)
    learn(resumed)
    assert all(torch.equal(stopped.state()[name], value) for name, value in resumed.state().items())
    assert all(torch.equal(stopped.adapter()[name], weight) for name, weight in resumed.adapter().items())


def test_the_seed_decides_the_first_weights(tiny_model: Path, config: TrainerConfig) -> None:
    def first_weights(seed: int) -> list[Tensor]:
        return list(TorchBackend.load(tiny_model, config.model_copy(update={"seed": seed})).adapter().values())

    assert all(map(torch.equal, first_weights(1), first_weights(1)))
    assert not all(map(torch.equal, first_weights(1), first_weights(2)))


def test_the_step_follows_the_mean_of_the_turns_gradients(load: Load) -> None:
    once, thrice = load(), load()
    once.backward(student(once)[0, 0])
    for _ in range(3):
        thrice.backward(student(thrice)[0, 0])
    assert thrice.step(3) == pytest.approx(once.step(1), rel=1e-5)


def test_a_gradient_that_is_no_number_moves_nothing_and_is_forgotten(backend: TorchBackend) -> None:
    learn(backend)
    weights, state = backend.adapter(), backend.state()
    backend.backward(student(backend).sum() * float("inf"))
    with pytest.raises(RejectedError, match="not finite"):
        backend.step(1)
    assert all(torch.equal(weights[name], weight) for name, weight in backend.adapter().items())
    assert all(torch.equal(state[name], value) for name, value in backend.state().items())
    backend.backward(student(backend)[0, 0])
    assert 0 < backend.step(1) < float("inf")


def test_an_adapter_of_another_rank_is_refused_with_the_setting_to_change(
    backend: TorchBackend, tiny_model: Path, config: TrainerConfig
) -> None:
    learn(backend)
    wider = TorchBackend.load(tiny_model, config.model_copy(update={"lora_rank": 8}))
    with pytest.raises(SettingsError, match=r"trainer\.lora_rank"):
        wider.load_state(backend.adapter(), backend.state())


def test_a_missing_model_and_unknown_layers_are_told_in_a_sentence(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingRuntimeError, match="There is no model"):
        TorchBackend.load(tmp_path, TrainerConfig())
    with pytest.raises(SettingsError, match=r"trainer\.lora_targets"):
        TorchBackend.load(tiny_model, TrainerConfig(lora_targets=("c_attn",)))

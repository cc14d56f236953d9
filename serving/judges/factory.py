"""`make_judge` and `make_extractor`: the ones that the settings name."""

from pathlib import Path

from schemas.errors import SettingsError
from serving.chat_endpoint import ChatEndpoint
from serving.config import HintsConfig, JudgeConfig
from serving.hints.llm import LlmExtractor
from serving.hints.verbatim import VerbatimExtractor
from serving.judges.llm import LlmJudge
from serving.judges.reaction import ReactionJudge, load_reaction_judge


def make_judge(config: JudgeConfig, cache: Path) -> LlmJudge | ReactionJudge:
    """The configured judge.

    Args:    cache: folder that keeps the reaction judge's classifier between starts.
    Raises:  SettingsError: an llm judge without url or model. MissingRuntimeError: no sentence embedder.
    """
    if config.kind == "llm":
        endpoint = _endpoint(config, "judge")
        return LlmJudge(endpoint, num_votes=config.num_votes, max_text_chars=config.max_text_chars)
    return load_reaction_judge(config, cache)


def make_extractor(config: HintsConfig) -> LlmExtractor | VerbatimExtractor:
    """The configured hint extractor.

    Raises:  SettingsError: an llm extractor without url or model.
    """
    if config.kind == "llm":
        endpoint = _endpoint(config, "hints")
        return LlmExtractor(endpoint, num_candidates=config.num_candidates, max_text_chars=config.max_text_chars)
    return VerbatimExtractor()


def _endpoint(config: JudgeConfig | HintsConfig, table: str) -> ChatEndpoint:
    if not config.url or not config.model:
        raise SettingsError(f'{table}.kind = "llm" needs {table}.url and {table}.model: name the endpoint there.')
    return ChatEndpoint(
        config.url,
        config.model,
        api_key=config.api_key,
        temperature=config.temperature,
        timeout_s=config.timeout_s,
        max_concurrent=config.max_concurrent,
    )

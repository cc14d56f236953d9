"""The processors end with one sentence where no broker comes."""

from pathlib import Path

import pytest
from processor_world import EchoExtractor, EchoJudge, LetterRenderer

from processors import app
from processors.config import ProcessorsConfig
from schemas.errors import BrokerUnavailableError
from streams.config import KafkaConfig


def test_without_a_broker_the_processors_end_with_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BROKER_WITHIN_S", 0.1)
    nowhere = KafkaConfig(bootstrap_servers="127.0.0.1:1", topic_prefix="t.")
    models = (EchoJudge(), EchoExtractor(), LetterRenderer())
    with pytest.raises(BrokerUnavailableError, match=r"^The processors could not start on Kafka \(") as caught:
        app.run_processors(ProcessorsConfig(), nowhere, *models, tmp_path, tmp_path / "heartbeat")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "heartbeat").exists()

"""What is taken from the settings for Faust, and the one thing that Faust's own flow control gets wrong."""

import faust
import pytest
from mode.utils.queues import FlowControlQueue

from processors.faust_app import FlowControl, _credentials, make_app
from schemas.errors import SettingsError
from streams.config import KafkaConfig


def test_without_a_broker_in_the_settings_one_sentence_says_so(tmp_path):
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap_servers"):
        make_app(KafkaConfig(), tmp_path)


async def test_the_prefix_names_the_group_and_several_brokers_may_be_named(tmp_path):
    app = make_app(KafkaConfig(bootstrap_servers="one:9092, two:9093", topic_prefix="mine."), tmp_path / "new")
    assert app.conf.id == "mine.processors"
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9093"]


def test_a_plain_broker_needs_no_credentials():
    assert _credentials({}) is None


def test_sasl_settings_are_passed_on():
    client = {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "ada", "sasl.password": "secret"}
    credentials = _credentials(client | {"sasl.mechanism": "SCRAM-SHA-256"})
    assert isinstance(credentials, faust.SASLCredentials)
    assert (credentials.username, credentials.password) == ("ada", "secret")
    assert credentials.mechanism.value == "SCRAM-SHA-256"
    assert credentials.protocol.value == "SASL_PLAINTEXT"
    over_tls = client | {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
    assert _credentials(over_tls).protocol.value == "SASL_SSL"


def test_tls_settings_are_passed_on():
    assert isinstance(_credentials({"security.protocol": "SSL"}), faust.SSLCredentials)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"ssl\.\* in"):
        _credentials({"security.protocol": "ssl", "ssl.ca.location": str(tmp_path / "none.pem")})


async def test_what_is_delivered_while_the_flow_is_on_survives_being_told_to_resume():
    flow = FlowControl()
    queue = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    queue.put_nowait("old")
    flow.resume()
    assert queue.empty()
    queue.put_nowait("new")
    flow.resume()
    assert queue.get_nowait() == "new"

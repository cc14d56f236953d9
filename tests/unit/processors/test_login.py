"""What is said for librdkafka is understood for aiokafka, or refused in a sentence; never half."""

import ssl
from pathlib import Path

import pytest

from processors.login import mechanism_of, tls_of
from schemas.errors import SettingsError

TLS = {"security.protocol": "SASL_SSL"}


def test_without_tls_there_is_no_context_and_without_a_login_no_mechanism() -> None:
    assert tls_of({}) is None
    assert tls_of({"security.protocol": "SASL_PLAINTEXT"}) is None
    assert mechanism_of({"security.protocol": "ssl"}) is None


def test_the_broker_has_to_show_who_it_is_unless_that_is_turned_off_by_librdkafkas_own_settings() -> None:
    strict = tls_of(TLS)
    assert strict is not None
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    nameless = tls_of({**TLS, "ssl.endpoint.identification.algorithm": "none"})
    assert nameless is not None
    assert (nameless.check_hostname, nameless.verify_mode) == (False, ssl.CERT_REQUIRED)
    blind = tls_of({**TLS, "enable.ssl.certificate.verification": "false"})
    assert blind is not None
    assert (blind.check_hostname, blind.verify_mode) == (False, ssl.CERT_NONE)


@pytest.mark.parametrize("name", ["ssl.keystore.location", "ssl.certificate.pem", "ssl.key.pem"])
def test_a_certificate_in_a_form_that_only_librdkafka_reads_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"cannot use {name}".replace(".", r"\.")):
        tls_of({**TLS, name: "x"})


def test_an_authority_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    for client in ({"ssl.ca.location": str(tmp_path / "none.pem")}, {"ssl.ca.pem": "no certificate"}):
        with pytest.raises(SettingsError, match=r"ssl\.\* in \[kafka\.client\] names cannot be used"):
            tls_of({**TLS, **client})


@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_a_login_is_by_one_of_three_mechanisms(name: str) -> None:
    assert mechanism_of({**TLS, name: "scram-sha-512"}) == "SCRAM-SHA-512"
    with pytest.raises(SettingsError, match="is OAUTHBEARER, but the processors log in by PLAIN"):
        mechanism_of({**TLS, name: "OAUTHBEARER"})


def test_librdkafkas_default_mechanism_is_none_of_them() -> None:
    with pytest.raises(SettingsError, match="is GSSAPI"):
        mechanism_of(TLS)

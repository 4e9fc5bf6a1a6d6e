"""Who may talk to a scheduler that was started for one search: whoever can read its file."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed.security import Security

_YEARS = timedelta(days=3650)


def make_credentials() -> dict[str, str]:
    """A new `certificate` and `key` in PEM, which nobody else has.

    Dask runs what it is sent: without it, whoever else uses this machine could run it here.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paretune")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks may be set back.
        .not_valid_before(now - _YEARS)
        .not_valid_after(now + _YEARS)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return {"certificate": public.decode(), "key": private.decode()}


def security(credentials: Mapping[str, str] | None) -> Security:
    """For all roles; None takes what Dask's own configuration says (`distributed.comm.tls`)."""
    if credentials is None:
        return Security()
    certificate, key = credentials["certificate"], credentials["key"]
    roles = ("scheduler", "worker", "client")
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        **{f"tls_{role}_cert": certificate for role in roles},
        **{f"tls_{role}_key": key for role in roles},
    )

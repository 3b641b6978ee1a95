"""Names and addresses by which a machine calls itself."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is this machine and nobody else's."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Takes the address of the web server, before anything slow is begun."""

import socket

from app.home import read_holder
from app.settings import Settings


class PortError(RuntimeError):
    """The address cannot be listened on."""


def listen(settings: Settings) -> socket.socket:
    """Take the address, so that early visitors wait instead of being refused.

    Raises:
        PortError: another program has it, or it is not ours to have.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortError(_describe(settings, error)) from None
    return listener


def _describe(settings: Settings, error: OSError) -> str:
    holder = read_holder(settings.home)
    if holder is not None and holder.web_url == settings.web_url:
        return (
            f"`nod {holder.command}` works on {settings.home} already and answers at "
            f"{holder.web_url}: process {holder.pid}. Open that, stop it, or set NOD_HOME and "
            f"NOD_PORT for another one"
        )
    return (
        f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}); "
        f"set NOD_HOST and NOD_PORT, or stop the program that has it"
    )

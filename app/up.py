"""The start of a running Nod: what the first one makes, and where everything is."""

from rich.panel import Panel

from app.nod import Nod
from app.sample_shop import begin_sample_shop
from app.terminal import screen
from app.users import ensure_owner


async def first_start(nod: Nod) -> None:
    """Make an owner where nobody may enter yet, and say the password once."""
    password = await ensure_owner(nod.database)
    if nod.settings.sample:
        await begin_sample_shop(nod.database)
    if password is None:
        return
    screen.print(
        Panel(
            f"Console login: [bold]owner[/]  password: [bold]{password}[/]\n"
            f"It is shown this once. [dim]nod users passwd owner[/] sets another.",
            title="First start",
            title_align="left",
            expand=False,
        )
    )


def tell_where_it_is(nod: Nod) -> None:
    """The addresses to open."""
    settings = nod.settings
    server = nod.model_server
    lines = [
        f"Web chat   {settings.web_url}/",
        f"Console    {settings.web_url}/console",
        f"Metrics    {settings.web_url}/metrics",
        f"Models     {server.base_url if server else settings.model_base_url}",
        f"Data       {settings.home}",
    ]
    if settings.telegram_token is None:
        lines.append("Telegram   off; set NOD_TELEGRAM_TOKEN")
    screen.print("Nod is up. Ctrl+C stops it.", *lines, sep="\n  ", highlight=False, soft_wrap=True)

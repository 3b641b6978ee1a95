"""What is stored, under the doctor's eyes: the database, the switches in it, and Chroma."""

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.doctor.finding import Finding, ill, odd, well
from app.home import Holder
from app.settings import Settings
from store import Database
from store.migrate import DatabaseTooNewError, check_revision
from store.switches import read_lost_switches, read_switches


async def check_database(settings: Settings) -> Finding:
    what = "database"
    if settings.database_url is None and not (settings.home / "nod.db").exists():
        return well(what, "SQLite, will be made at the first start")
    database = Database(settings.store_url)
    shown = database.url.render_as_string(hide_password=True)
    try:
        async with database.read() as session:
            await session.execute(text("select 1"))
        await asyncio.to_thread(check_revision, settings.store_url)
    except DatabaseTooNewError as error:
        return ill(what, str(error), "start the newer version, or restore a backup")
    except (SQLAlchemyError, OSError) as error:
        said = str(getattr(error, "orig", error)).splitlines()[0]
        mend = "start the database, or correct NOD_DATABASE_URL"
        if settings.database_url is None:
            mend = "restore the backup, or set NOD_HOME to another folder"
        return ill(what, f"{shown}: {said}", mend)
    finally:
        await database.close()
    return well(what, shown)


async def check_switches(settings: Settings) -> Finding:
    what = "switches"
    if settings.database_url is None and not (settings.home / "nod.db").exists():
        return well(what, "as they come")
    database = Database(settings.store_url)
    try:
        async with database.read() as session:
            lost = await read_lost_switches(session)
            switches = await read_switches(session)
    except SQLAlchemyError:
        return odd(what, "not read", "mend the database first; see above")
    finally:
        await database.close()
    if lost:
        mend = "nod mode, nod policy or nod schedule sets it again; so does the console"
        return odd(what, "; ".join(lost), mend)
    return well(what, f"mode {switches.mode}, policy {switches.policy}")


async def check_chroma(settings: Settings, holder: Holder | None) -> Finding:
    """Whether Chroma answers, and holds what this embedding model wrote."""
    from knowledge.dense import DenseIndex  # seconds to import
    from knowledge.errors import EmbeddingModelChangedError, IndexAwayError

    what, folder = "Chroma", None if settings.chroma_url else settings.home / "chroma"
    if folder is not None and not folder.exists():
        return well(what, "on disk, will be made at the first start")
    if folder is not None and holder is not None:
        return well(what, f"{folder}, in use by nod {holder.command}")
    index = DenseIndex(model=settings.embedding_model, folder=folder, url=settings.chroma_url)
    try:
        await index.check()
        count = len(await index.ids())
    except EmbeddingModelChangedError as error:
        said = f"{index.place} holds embeddings of {error.written_by}, not of {error.wanted}"
        return ill(what, said, "nod reindex, or set NOD_EMBEDDING_MODEL back")
    except IndexAwayError as error:
        mend = "start the Chroma server, or correct NOD_CHROMA_URL"
        if folder is not None:
            mend = "stop what holds it; where it is broken, remove it and run nod reindex"
        return ill(what, str(error), mend)
    finally:
        await index.close()
    return well(what, f"{index.place}: {count} embeddings of {settings.embedding_model}")

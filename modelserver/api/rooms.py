"""What the endpoints work with, taken from the application they run in."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from modelserver.catalog import Catalog
from modelserver.embedding import Embedding
from modelserver.engine import Engine
from modelserver.files import Files
from modelserver.fine_tunes import FineTunes
from modelserver.generation import Generations
from modelserver.jobs import Jobs
from modelserver.supervisor import Supervisor


@dataclass(frozen=True, kw_only=True)
class Rooms:
    files: Files
    jobs: Jobs
    fine_tunes: FineTunes
    supervisor: Supervisor
    catalog: Catalog
    engine: Engine
    generations: Generations
    embedding: Embedding


def _rooms(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms


Here = Annotated[Rooms, Depends(_rooms)]

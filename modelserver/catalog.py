"""What can be asked for by name: base models, the embedding model, tuned models, their aliases."""

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver.database import Database
from modelserver.errors import ForbiddenError, ModelNotFoundError
from modelserver.ids import now

OWNER = "nod"  # stands where OpenAI's names of tuned models have the organisation


@dataclass(frozen=True, kw_only=True)
class Model:
    """Something that answers: a base model, with an adapter's folder on top or without."""

    name: str
    base: str
    adapter: Path | None = None


class AliasError(ValueError):
    """An alias hides a model."""


class Catalog:
    """Base models and aliases as the command line gave them, tuned models as the rows have them."""

    def __init__(
        self,
        database: Database,
        data_dir: Path,
        *,
        bases: Sequence[str],
        embedding: str,
        aliases: Mapping[str, str],
    ) -> None:
        self._database = database
        self._data_dir = data_dir
        self._bases = tuple(bases)
        self._embedding = embedding
        self._aliases = dict(aliases)
        self._started_at = now()
        for name in self._aliases:
            if name in (*bases, embedding):
                raise AliasError(
                    f"--alias {name}=…: {name} is a model already; choose another name"
                )

    def name_of(self, asked: str) -> str:
        return self._aliases.get(asked, asked)

    def find(self, asked: str) -> Model:
        """The model that answers to this name. Raises ModelNotFoundError."""
        name = self.name_of(asked)
        if name in self._bases:
            return Model(name=name, base=name)
        row = self._database.row("SELECT * FROM models WHERE name = ?", name)
        if row is None or row["base"] not in self._bases:
            raise ModelNotFoundError(asked)
        return Model(name=name, base=row["base"], adapter=self._data_dir / row["path"])

    def find_base(self, asked: str) -> str:
        """The base model that can be trained under this name. Raises ModelNotFoundError."""
        name = self.name_of(asked)
        if name not in self._bases:
            raise ModelNotFoundError(asked)
        return name

    def find_embedding(self, asked: str) -> str:
        if self.name_of(asked) != self._embedding:
            raise ModelNotFoundError(asked)
        return self._embedding

    def newest(self, base: str, count: int) -> list[Model]:
        """The tuned models of a base that are most likely asked for next."""
        rows = self._database.rows(
            "SELECT * FROM models WHERE base = ? AND step IS NULL ORDER BY seq DESC LIMIT ?",
            base,
            count,
        )
        return [
            Model(name=row["name"], base=base, adapter=self._data_dir / row["path"]) for row in rows
        ]

    def checkpoints(self, job_id: str) -> Sequence[str]:
        """Names of the checkpoints that are left of a job."""
        rows = self._database.rows(
            "SELECT name FROM models WHERE job_id = ? AND step IS NOT NULL ORDER BY seq", job_id
        )
        return [row["name"] for row in rows]

    def show(self, asked: str) -> dict[str, Any]:
        """OpenAI's model object. Raises ModelNotFoundError."""
        name = self.name_of(asked)
        if name in (*self._bases, self._embedding):
            return _show(asked, self._started_at, "system")
        row = self._database.row("SELECT created_at FROM models WHERE name = ?", name)
        if row is None:
            raise ModelNotFoundError(asked)
        return _show(asked, row["created_at"], OWNER)

    def list(self) -> list[dict[str, Any]]:
        """Bases, aliases and tuned models; checkpoints are found through their job."""
        tuned = self._database.rows("SELECT * FROM models WHERE step IS NULL ORDER BY seq")
        names = [*self._bases, self._embedding, *self._aliases]
        shown = [_show(name, self._started_at, "system") for name in names]
        return shown + [_show(row["name"], row["created_at"], OWNER) for row in tuned]

    def delete(self, asked: str) -> Model:
        """Removes a tuned model and its files; its last checkpoint is the same files, and goes too.

        A checkpoint that a model shares its files with gives up its name alone. The files go
        first: who is killed in between finds the model still there, and deletes it again.
        """
        name = self.name_of(asked)
        if name in (*self._bases, self._embedding):
            raise ForbiddenError(
                f"{asked} is a base model: only tuned models can be deleted. "
                "Start the server without it to take it away.",
                param="model",
            )
        row = self._database.row("SELECT * FROM models WHERE name = ?", name)
        if row is None:
            raise ModelNotFoundError(asked)
        model = Model(name=name, base=row["base"], adapter=self._data_dir / row["path"])
        of_others = "path = ? AND name <> ? AND (step IS NULL OR ? IS NOT NULL)"
        others = (row["path"], name, row["step"])
        if not self._database.row(f"SELECT 1 FROM models WHERE {of_others}", *others):
            shutil.rmtree(self._data_dir / row["path"], ignore_errors=True)
        with self._database.transaction() as db:
            db.execute("DELETE FROM models WHERE name = ?", (name,))
            if row["step"] is None:
                same = "path = ? AND step IS NOT NULL"
                db.execute(f"DELETE FROM models WHERE {same}", (row["path"],))
        return model


def insert_model(
    db: sqlite3.Connection,
    *,
    model_id: str,
    name: str,
    job_id: str,
    base: str,
    path: str,
    step: int | None = None,
    metrics: str | None = None,
) -> None:
    """Part of a larger transaction. Writing the same model again changes nothing."""
    db.execute(
        "INSERT OR IGNORE INTO models (id, name, job_id, base, path, created_at, step, metrics)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (model_id, name, job_id, base, path, now(), step, metrics),
    )


def _show(name: str, created: int, owner: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": owner,
        "shutdown_date": None,
    }

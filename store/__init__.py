"""The rows that all rooms share, their migrations, and the database that holds them."""

from store.announcement import Announcement, Via
from store.base import Base, utc_now
from store.care import Forgetting, ForgettingState, SecondLook, SecondLookState
from store.conversation import (
    Conversation,
    Reply,
    ReplyStatus,
    Review,
    Role,
    Turn,
    TurnState,
    Verdict,
    Way,
    conversation_id,
)
from store.core import fetch, insert
from store.database import Database, Executor
from store.document import Chunk, ChunkKind, Document, DocumentKind
from store.learning import (
    Dataset,
    EvaluationItem,
    Example,
    Method,
    ModelVersion,
    Run,
    RunEvent,
    RunState,
    Split,
    Stage,
)
from store.people import AuditEntry, Lease, Login, Mask, Setting, User, UserRole
from store.switches import Mode, Policy, Switches
from store.thumb import Thumb

__all__ = [
    "Announcement",
    "AuditEntry",
    "Base",
    "Chunk",
    "ChunkKind",
    "Conversation",
    "Database",
    "Dataset",
    "Document",
    "DocumentKind",
    "EvaluationItem",
    "Example",
    "Executor",
    "Forgetting",
    "ForgettingState",
    "Lease",
    "Login",
    "Mask",
    "Method",
    "Mode",
    "ModelVersion",
    "Policy",
    "Reply",
    "ReplyStatus",
    "Review",
    "Role",
    "Run",
    "RunEvent",
    "RunState",
    "SecondLook",
    "SecondLookState",
    "Setting",
    "Split",
    "Stage",
    "Switches",
    "Thumb",
    "Turn",
    "TurnState",
    "User",
    "UserRole",
    "Verdict",
    "Via",
    "Way",
    "conversation_id",
    "fetch",
    "insert",
    "utc_now",
]

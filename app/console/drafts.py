"""Drafts: what is being written stays in the browser's tab until it is sent or given up.

A page loads itself anew when the server was started again, and would come back empty.
"""

import json

from nicegui import ui

from app.console.visit import Visit

_KEEP = """
(function keep(tries) {
  const frame = getHtmlElement(ID), key = KEY;
  const area = frame?.matches("textarea") ? frame : frame?.querySelector("textarea");
  if (!area) return tries && setTimeout(keep, 20, tries - 1); // it is not drawn yet
  const kept = sessionStorage.getItem(key);
  if (kept !== null && kept !== area.value) {
    area.value = kept;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
  area.addEventListener("input", () => sessionStorage.setItem(key, area.value));
})(100);
"""


def keep_draft(visit: Visit, element: ui.textarea, of: str) -> None:
    """Bring back what was written here before, and keep what is written now."""
    script = _KEEP.replace("ID", str(element.id)).replace("KEY", _key(visit, of))
    visit.run_script(script)


def drop_draft(visit: Visit, of: str) -> None:
    """It was sent, or given up."""
    visit.run_script(f"sessionStorage.removeItem({_key(visit, of)})")


def _key(visit: Visit, of: str) -> str:
    """Nobody who logs in later in the same tab reads it."""
    return json.dumps(f"nod.draft {visit.user.name} {of}")

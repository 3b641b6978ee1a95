// Thumbs under an answer; a second press takes one back.

import { say } from "./words.js";

export function thumbs(turn) {
  const group = document.createElement("span");
  group.className = "thumbs";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", say("helpful"));
  const buttons = { up: button("up", "👍"), down: button("down", "👎") };
  let given = turn.thumb;

  function button(kind, picture) {
    const node = document.createElement("button");
    node.type = "button";
    node.textContent = picture;
    node.title = say(kind);
    node.setAttribute("aria-label", say(kind));
    node.addEventListener("click", () => give(given === kind ? null : kind));
    group.append(node);
    return node;
  }

  function show() {
    for (const [kind, node] of Object.entries(buttons)) node.setAttribute("aria-pressed", String(given === kind));
  }

  async function give(kind) {
    const before = given;
    given = kind;
    show();
    try {
      const response = await fetch("/chat/thumbs", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ seq: turn.seq, thumb: kind }),
      });
      if (!response.ok) throw new Error(response.statusText);
    } catch {
      given = before;
      show();
    }
  }

  show();
  return group;
}

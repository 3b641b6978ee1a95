// Thumbs under an answer; a second press takes one back. Drawn here: not every machine has emoji.

import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const THUMB = "M7 11v9H4v-9zM7 11l4-8c1.7 0 2.6 1.2 2.2 2.9L12.5 9H19c1.3 0 2.1 1.1 1.8 2.3l-1.5 7A2.2 2.2 0 0 1 17.2 20H7";

export function thumbs(turn) {
  const group = document.createElement("span");
  group.className = "thumbs";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", say("helpful"));
  const buttons = { up: button("up"), down: button("down") };
  let given = turn.thumb;

  function button(kind) {
    const node = document.createElement("button");
    node.type = "button";
    node.className = kind;
    node.append(picture());
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

function picture() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", THUMB);
  svg.append(path);
  return svg;
}

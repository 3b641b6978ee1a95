// The chat page: shows turns as they come, sends what is written, survives lost connections.

import { plain, render } from "./markdown.js";
import { thumbs } from "./thumbs.js";
import { Unsent } from "./unsent.js";
import { language, say, translate } from "./words.js";

const byId = (id) => document.getElementById(id);
const [scroll, turns, draft, sign, text, send, count, state] = ["scroll", "turns", "draft", "sign", "text", "send", "count", "state"].map(byId);

let lastSeq = 0;
let freshFrom = 0;
let mostText = 4000;
let lastDay = "";
let source;
let retryMs = 1000;

// ---- turns

function showTurn(turn) {
  lastSeq = Math.max(lastSeq, turn.seq);
  if (turn.id) unsent.seen(turn.id);
  if (document.querySelector(`[data-seq="${turn.seq}"]`)) return;
  if (turn.role !== "customer") hideDraft();
  if (turn.text.trim() === "/reset" && turn.role === "customer") return showUnsent();
  if (turn.text.trim() === "/forget" && turn.role === "customer") return clear(), showUnsent();
  const stick = isAtEnd();
  showDay(new Date(turn.at));
  const node = bubble(turn.role, turn.text, turn.at);
  node.dataset.seq = turn.seq;
  if (turn.is_rated) node.querySelector("footer").append(thumbs(turn));
  if (turn.sources.length) node.append(sources(turn.sources));
  turns.append(node);
  byId("reset").hidden = false;
  showUnsent();
  if (stick || turn.role === "customer") toEnd();
}

// What is forgotten there goes from here as well.
function clear() {
  turns.replaceChildren();
  lastDay = "";
  hideDraft();
}

function bubble(role, content, at) {
  const node = document.createElement("article");
  node.className = `turn ${role}`;
  const body = document.createElement("div");
  body.className = "bubble";
  body.append(role === "customer" ? plain(content) : render(content));
  const who = document.createElement("span");
  who.className = role === "person" ? "by" : "unseen";
  who.textContent = say({ customer: "you", bot: "bot", person: "colleague" }[role]);
  const time = document.createElement("time");
  time.dateTime = at;
  time.textContent = new Date(at).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
  const foot = document.createElement("footer");
  foot.append(time);
  node.append(who, body, foot);
  return node;
}

// Each document once, its sections in brackets: a title is `Document > Section`.
function sources(titles) {
  const documents = new Map();
  for (const title of titles) {
    const [name, ...section] = title.split(" > ");
    documents.set(name, [...(documents.get(name) ?? []), section.join(", ")].filter(Boolean));
  }
  const named = [...documents].map(([name, sections]) => (sections.length ? `${name} (${sections.join(", ")})` : name));
  const node = document.createElement("p");
  node.className = "sources";
  node.textContent = `${say("sources")}: ${named.join(" · ")}`;
  return node;
}

function showDay(at) {
  const day = at.toDateString();
  if (day === lastDay) return;
  lastDay = day;
  const ago = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86400000);
  const named = ago === 0 ? say("today") : ago === 1 ? say("yesterday") : at.toLocaleDateString(language, { dateStyle: "medium" });
  turns.append(rule(named, "day"));
}

function rule(content, kind) {
  const node = document.createElement("p");
  node.className = `rule ${kind}`;
  node.append(Object.assign(document.createElement("span"), { textContent: content }));
  return node;
}

// A line where the assistant's memory starts anew.
function showFresh() {
  document.querySelector(".rule.fresh")?.remove();
  if (freshFrom <= 1) return;
  const next = [...turns.querySelectorAll("[data-seq]")].find((node) => Number(node.dataset.seq) >= freshFrom);
  next ? next.before(rule(say("fresh"), "fresh")) : turns.append(rule(say("fresh"), "fresh"));
}

// ---- what is not sent yet

function showUnsent() {
  for (const node of document.querySelectorAll("[data-unsent]")) node.remove();
  for (const message of unsent.messages) turns.append(unsentBubble(message));
}

function unsentBubble(message) {
  const node = bubble("customer", message.text, message.at);
  node.dataset.unsent = message.id;
  node.classList.add(message.problem ? "failed" : "pending");
  const note = node.querySelector("time");
  if (!message.taken) note.textContent = message.problem ? `${say("failed")}: ${message.problem}` : unsent.isSending ? say("sending") : say("kept");
  if (message.problem) node.append(takeBack(message));
  return node;
}

function takeBack(message) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = say("take_back");
  button.addEventListener("click", () => {
    text.value = message.text;
    unsent.remove(message.id);
    fit();
    text.focus();
  });
  return button;
}

const unsent = new Unsent(showUnsent);

// ---- what is shown beside the turns

function showDraft({ text: content }) {
  const stick = isAtEnd();
  draft.hidden = false;
  draft.firstElementChild.replaceChildren(render(content));
  sign.hidden = true;
  if (stick) toEnd();
}

function hideDraft() {
  draft.hidden = true;
}

function showSign(shown) {
  mostText = shown.max_text;
  if (shown.fresh_from !== freshFrom) {
    freshFrom = shown.fresh_from;
    showFresh();
  }
  const stick = isAtEnd();
  const word = shown.typing ? "typing" : shown.held ? "held" : "";
  if (!shown.typing && draft.hidden === false && shown.held) hideDraft();
  sign.hidden = !word || !draft.hidden;
  sign.classList.toggle("still", word === "held");
  byId("sign-text").textContent = word ? say(word) : "";
  showState("online", shown.person ? say("person") : say("online"));
  turns.setAttribute("aria-live", "polite"); // the history has been replayed: read out what is new
  if (stick) toEnd();
}

function showState(kind, words) {
  state.className = `state ${kind}`;
  state.textContent = words;
}

const isAtEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120;
const toEnd = () => scroll.scrollTo({ top: scroll.scrollHeight });

// A phone's keyboard takes half of the room: what was said last stays in sight.
let room = scroll.clientHeight;
new ResizeObserver(() => {
  const wasAtEnd = scroll.scrollHeight - scroll.scrollTop - room < 120;
  room = scroll.clientHeight;
  if (wasAtEnd) toEnd();
}).observe(scroll);

// ---- the connection

function connect() {
  source?.close();
  source = new EventSource(`/chat/events?after=${lastSeq}`);
  source.addEventListener("turn", ({ data }) => showTurn(JSON.parse(data)));
  source.addEventListener("forgotten", () => {
    lastSeq = 0;
    clear();
    showUnsent();
  });
  source.addEventListener("draft", ({ data }) => showDraft(JSON.parse(data)));
  source.addEventListener("sign", ({ data }) => showSign(JSON.parse(data)));
  source.addEventListener("open", () => {
    retryMs = 1000;
    unsent.flush();
  });
  source.addEventListener("error", () => {
    // The browser would give up on some answers and wait for ever on others: we decide.
    source.close();
    showState("lost", navigator.onLine ? say("reconnecting") : say("offline"));
    setTimeout(connect, retryMs * (0.8 + Math.random() * 0.4));
    retryMs = Math.min(retryMs * 2, 15000);
  });
}

addEventListener("offline", () => showState("lost", say("offline")));
addEventListener("online", () => unsent.flush());

// ---- the box

function fit() {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, 180)}px`;
  const left = mostText - text.value.length;
  count.textContent = left < 200 ? (left < 0 ? say("too_long", mostText) : say("left", left)) : "";
  count.classList.toggle("over", left < 0);
  send.disabled = !text.value.trim() || left < 0;
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (send.disabled) return;
  unsent.add(text.value.trim());
  text.value = "";
  fit();
  toEnd();
  text.focus();
});

text.addEventListener("input", fit);
text.addEventListener("keydown", (event) => {
  // While an input method composes Chinese, Enter chooses a candidate.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});

byId("reset").addEventListener("click", () => {
  unsent.add("/reset");
  text.focus();
});

translate(document);
byId("reset").title = say("reset_title");
showState("", say("connecting"));
showUnsent();
fit();
connect();
if (matchMedia("(min-width: 700px)").matches) text.focus();

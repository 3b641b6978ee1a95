// Messages that the server has not taken yet. They are kept in the browser until it has: a lost
// connection, a closed page or a restarted server loses none. Each has an id of its own making,
// so sending one twice stores it once.

const KEY = "nod.unsent";
const LONGEST_WAIT_MS = 15000;
const memory = { kept: "[]" };

const load = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY) || "[]");
  } catch {
    return JSON.parse(memory.kept); // no storage, as in some private windows
  }
};

const save = (messages) => {
  memory.kept = JSON.stringify(messages);
  try {
    localStorage.setItem(KEY, memory.kept);
  } catch {
    // kept in memory then
  }
};

export class Unsent {
  constructor(onChange) {
    this.onChange = onChange;
    this.isSending = false;
    this.wait = 1000;
    this.taken = new Map(); // by the server, but not yet back as a turn
  }

  get messages() {
    return [...this.taken.values(), ...load()];
  }

  // The message has come back as a turn.
  seen(id) {
    this.taken.delete(id);
    if (load().some((message) => message.id === id)) this.remove(id);
  }

  add(text) {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    save([...load(), { id, text, at: new Date().toISOString() }]);
    this.onChange();
    this.flush();
  }

  remove(id) {
    save(load().filter((message) => message.id !== id));
    this.onChange();
  }

  // Sends in order, one after the other; stops at the first that does not get through.
  async flush() {
    if (this.isSending) return;
    this.isSending = true;
    clearTimeout(this.timer);
    try {
      for (let next; (next = load().find((message) => !message.problem)); ) {
        if (!(await this.send(next))) break;
      }
    } finally {
      this.isSending = false;
      this.onChange();
    }
  }

  async send(message) {
    this.onChange();
    let response;
    try {
      response = await fetch("/chat/messages", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ id: message.id, text: message.text }),
        signal: AbortSignal.timeout(20000),
      });
    } catch {
      return this.later(this.wait);
    }
    if (response.status === 429) return this.later(1000 * Number(response.headers.get("Retry-After") || 2));
    if (response.status >= 500) return this.later(this.wait);
    this.wait = 1000;
    if (response.ok) {
      this.taken.set(message.id, { ...message, taken: true });
      this.remove(message.id);
    } else {
      const { error } = await response.json().catch(() => ({}));
      this.refuse(message.id, error || `HTTP ${response.status}`);
    }
    return true;
  }

  // The server will never take it: the customer is shown why, and may change it.
  refuse(id, problem) {
    save(load().map((message) => (message.id === id ? { ...message, problem } : message)));
    this.onChange();
  }

  later(ms) {
    this.timer = setTimeout(() => this.flush(), ms * (0.8 + Math.random() * 0.4));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    return false;
  }
}

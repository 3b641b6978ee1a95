// A tiny part of Markdown, built as nodes. Nothing is ever parsed as HTML, so whatever a message
// holds is shown as text: paragraphs, lists, **bold**, *italic*, `code` and http(s) addresses.

const INLINE = /(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(\*[^*\s][^*\n]*\*)|(https?:\/\/[^\s<>()[\]"'，。；）]+[^\s<>()[\]"'.,;:!?，。；：！？）])/g;
const ITEM = /^\s*(?:[-*•]|(\d+)[.)])\s+(.*)$/;

export function render(text) {
  const nodes = document.createDocumentFragment();
  for (const block of text.replace(/\r\n?/g, "\n").split(/\n{2,}/)) {
    const lines = block.split("\n");
    while (lines.length) nodes.append(ITEM.test(lines[0]) ? list(lines) : paragraph(lines));
  }
  return nodes;
}

// Plain text with its line breaks: what a customer wrote is never formatted.
export function plain(text) {
  const node = document.createElement("p");
  node.textContent = text;
  return node;
}

function list(lines) {
  const first = ITEM.exec(lines[0]);
  const node = document.createElement(first[1] ? "ol" : "ul");
  if (first[1]) node.start = Number(first[1]);
  for (let item; lines.length && (item = ITEM.exec(lines[0])); lines.shift()) {
    const entry = document.createElement("li");
    entry.append(...inline(item[2]));
    node.append(entry);
  }
  return node;
}

function paragraph(lines) {
  const node = document.createElement("p");
  while (lines.length && !ITEM.test(lines[0])) {
    if (node.childNodes.length) node.append(document.createElement("br"));
    node.append(...inline(lines.shift()));
  }
  return node;
}

function inline(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(from, match.index), piece(match));
    from = match.index + match[0].length;
  }
  nodes.push(text.slice(from));
  return nodes;
}

function piece([whole, code, bold, italic]) {
  if (code) return element("code", code.slice(1, -1));
  if (bold) return element("strong", bold.slice(2, -2));
  if (italic) return element("em", italic.slice(1, -1));
  const link = element("a", whole);
  link.href = whole;
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  return link;
}

function element(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

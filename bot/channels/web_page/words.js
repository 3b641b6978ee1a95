// What the page says, in the browser's language.

const words = {
  en: {
    title: "Chat with us",
    reset: "Start afresh",
    reset_title: "The assistant forgets what was said; you still see it",
    hello: "Hello! How can we help?",
    hello_more: "Ask in your own words. An assistant answers at once; a person can step in.",
    turns: "Conversation",
    write: "Write a message",
    send: "Send",
    hint: "Enter sends, Shift+Enter starts a new line",
    online: "Here for you",
    connecting: "Connecting…",
    reconnecting: "Connection lost. Trying again…",
    offline: "You are offline. What you write is kept and sent later.",
    typing: "Writing…",
    held: "A colleague looks at the answer before you get it.",
    person: "A colleague is answering here",
    you: "You",
    bot: "Assistant",
    colleague: "Colleague",
    sources: "From",
    helpful: "Did this help?",
    up: "This helped",
    down: "This did not help",
    sending: "Sending…",
    kept: "Not sent yet",
    failed: "Not sent",
    take_back: "Edit",
    fresh: "Started afresh",
    too_long: (most) => `At most ${most} characters`,
    left: (left) => `${left} left`,
    today: "Today",
    yesterday: "Yesterday",
  },
  zh: {
    title: "在线咨询",
    reset: "重新开始",
    reset_title: "助手将忘记之前的内容，您仍可看到记录",
    hello: "您好！有什么可以帮您？",
    hello_more: "请直接提问。助手会立即回答，必要时由人工接待。",
    turns: "对话",
    write: "输入消息",
    send: "发送",
    hint: "回车发送，Shift+回车换行",
    online: "随时为您服务",
    connecting: "正在连接…",
    reconnecting: "连接中断，正在重试…",
    offline: "您已离线。消息会保存，恢复后自动发送。",
    typing: "正在输入…",
    held: "同事正在核对回答，请稍候。",
    person: "人工客服为您服务",
    you: "您",
    bot: "助手",
    colleague: "人工客服",
    sources: "来源",
    helpful: "这个回答有帮助吗？",
    up: "有帮助",
    down: "没有帮助",
    sending: "发送中…",
    kept: "尚未发送",
    failed: "未发送",
    take_back: "修改",
    fresh: "已重新开始",
    too_long: (most) => `最多 ${most} 个字符`,
    left: (left) => `还可输入 ${left} 字`,
    today: "今天",
    yesterday: "昨天",
  },
};

export const language = (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";

export const say = (key, ...values) => {
  const word = words[language][key];
  return typeof word === "function" ? word(...values) : word;
};

// Fills in every element that names a word.
export function translate(root) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = say("title");
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
  for (const element of root.querySelectorAll("[data-word-label]")) element.setAttribute("aria-label", say(element.dataset.wordLabel));
  for (const element of root.querySelectorAll("[data-word-placeholder]")) element.placeholder = say(element.dataset.wordPlaceholder);
}

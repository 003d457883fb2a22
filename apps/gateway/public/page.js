// Shows the status once a second, and the live tail of the selected topic. Text goes into the page as text, never as HTML.
const TAIL_ROWS = 50;
const RANGE_ROWS = 64;
const DATA_CHARACTERS = 500;
const REFRESH_MS = 1000;
const RECONNECT_MS = 2000;
const element = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en");

let selected;
let source;
/** The status before the present one, for rates. */
let before;
/** Messages that came since the page was last drawn, newest first. */
let arrived = [];

// --- tables

/**
 * Shows rows by their keys. A row that is there already is changed, not replaced: a button that is being pressed, or has the focus,
 * must stay the same button. A cell is `{ text, className, title, buffer, onClick, pressed }`.
 */
function fill(tbody, rows) {
  const there = new Map([...tbody.children].map((tr) => [tr.dataset.key, tr]));
  const wanted = rows.map(({ key, cells }) => {
    const tr = there.get(key) ?? document.createElement("tr");
    tr.dataset.key = key;
    for (let i = tr.childElementCount; i < cells.length; i++) tr.append(createCell(cells[i]));
    for (const [i, cell] of cells.entries()) changeCell(tr.children[i], cell);
    return tr;
  });
  if (wanted.length !== tbody.childElementCount || wanted.some((tr, i) => tr !== tbody.children[i])) {
    tbody.replaceChildren(...wanted);
  }
}

function createCell({ buffer, onClick }) {
  const td = document.createElement("td");
  if (buffer !== undefined) td.append(document.createElement("span"));
  const text = document.createElement(onClick ? "button" : "span");
  if (onClick) {
    text.type = "button";
    text.className = "name";
    text.addEventListener("click", onClick);
  }
  td.append(text);
  return td;
}

function changeCell(td, { text, className = "", title = "", buffer, pressed }) {
  td.className = className;
  if (td.title !== title) td.title = title;
  if (buffer !== undefined) td.firstChild.className = `swatch ${colour(buffer)}`;
  if (td.lastChild.textContent !== text) td.lastChild.textContent = text;
  if (pressed !== undefined) td.lastChild.setAttribute("aria-pressed", String(pressed));
}

/** Of a buffer by its place in the list; -1 is nobody. */
function colour(index) {
  return index < 0 ? "nobody" : `buffer-${index % 8}`;
}

function number(value, className = "") {
  return { text: count.format(value), className: `number ${className}` };
}

function rate(now, then, seconds) {
  if (then === undefined || !(seconds > 0)) return { text: "", className: "number" };
  const perSecond = Math.max(0, Math.round((now - then) / seconds));
  return { text: `${count.format(perSecond)}/s`, className: perSecond === 0 ? "number quiet" : "number" };
}

/** What the registry thinks of a buffer: a mark, and on hover the reason. */
function mark(health) {
  if (!health) return { text: "not looked at yet", className: "health" };
  const { healthy, state, reasons, since, answeredAgoMs, lastError } = health;
  const against = reasons.length > 0 ? `${healthy ? "in spite of: " : ""}${reasons.join(", ")}` : "";
  const answered =
    answeredAgoMs === null ? "never answered" : `answered ${count.format(answeredAgoMs)} ms ago`;
  const title = [`since ${clockTime(since)}`, against, answered, lastError].filter(Boolean).join("; ");
  return { text: state, className: `health ${healthy ? "good" : "bad"}`, title };
}

function describeRegistry({ servers, healthy, panic, noticeMs }) {
  const alarm = panic === "off" ? "" : " Nearly all look unwell, so they are used anyway.";
  return `${healthy} of ${servers} well. One that stops answering is noticed within ${noticeMs / 1000} s.${alarm}`;
}

function describeArchive({ kind, stores }) {
  if (kind === "local") return "Sealed segments go to files in the data folder.";
  const well = stores.filter(({ healthy }) => healthy).length;
  const behind = stores
    .filter(({ backlog }) => backlog > 0)
    .map(({ name, backlog }) => ` ${name} is ${count.format(backlog)} blobs behind.`);
  return `Archive: ${well} of ${stores.length} stores well.${behind.join("")}`;
}

function clockTime(time) {
  return new Date(time).toLocaleTimeString("en", { hour12: false });
}

// --- the status

function show(status) {
  const seconds = before ? (status.atMs - before.atMs) / 1000 : 0;
  const earlier = new Map((before?.topics ?? []).map((topic) => [topic.name, topic]));
  const indexOf = new Map(status.buffers.map(({ address }, index) => [address, index]));
  if (selected === undefined && status.topics.length > 0) select(status.topics[0].name);

  element("attribution").hidden = !status.topics.some(({ name }) => name === "cities");
  element("no-topics").hidden = status.topics.length > 0;
  fill(
    element("topics"),
    status.topics.map(({ name, messages, ranges, subscriptions }) => ({
      key: name,
      cells: [
        { text: name, onClick: () => select(name), pressed: name === selected },
        number(messages, "messages"),
        rate(messages, earlier.get(name)?.messages, seconds),
        number(ranges.length),
        { text: subscriptions.join(", "), className: "last" },
      ],
    })),
  );

  const ranges = status.topics.find(({ name }) => name === selected)?.ranges ?? [];
  const rangesBefore = new Map(
    (earlier.get(selected)?.ranges ?? []).map(({ from, messages }) => [from, messages]),
  );
  element("bar").replaceChildren(
    ...ranges.map(({ from, to, buffer }) => {
      const span = document.createElement("span");
      span.className = colour(indexOf.get(buffer) ?? -1);
      span.title = `${from}-${to}: ${buffer ?? "nobody"}`;
      return span;
    }),
  );
  fill(
    element("ranges"),
    ranges.slice(0, RANGE_ROWS).map(({ from, to, buffer, messages }) => {
      const index = indexOf.get(buffer) ?? -1;
      return {
        key: `${selected} ${from}`,
        cells: [
          { text: `${from}-${to}` },
          { text: status.buffers[index]?.id ?? buffer ?? "nobody now", buffer: index },
          number(messages),
          rate(messages, rangesBefore.get(from), seconds),
        ],
      };
    }),
  );
  element("more-ranges").hidden = ranges.length <= RANGE_ROWS;
  element("more-ranges").textContent = `and ${count.format(ranges.length - RANGE_ROWS)} more`;
  fill(
    element("buffers"),
    status.buffers.map(({ id, address, ranges: held, health }, index) => ({
      key: id,
      cells: [{ text: id, buffer: index }, { text: address }, mark(health), number(held)],
    })),
  );
  element("registry").textContent = describeRegistry(status.registry);
  element("archive").textContent = describeArchive(status.archive);
  // A page that looks twice within the time that a status is kept for sees the same one again.
  if (status.atMs !== before?.atMs) before = status;
}

// --- the tail

function select(name) {
  if (name === selected) return;
  selected = name;
  for (const span of document.querySelectorAll(".selected")) span.textContent = name;
  for (const button of document.querySelectorAll("#topics button")) {
    button.setAttribute("aria-pressed", String(button.textContent === name));
  }
  element("tail").replaceChildren();
  element("tail-empty").hidden = false;
  arrived = [];
  tail(name);
}

function tail(name) {
  source?.close();
  const opened = new EventSource(`/v1/topics/${encodeURIComponent(name)}/tail`);
  source = opened;
  opened.addEventListener("ready", () => document.body.setAttribute("data-tailing", name));
  opened.addEventListener("message", (event) => {
    if (arrived.unshift(JSON.parse(event.data)) === 1) requestAnimationFrame(draw);
    if (arrived.length > TAIL_ROWS) arrived.length = TAIL_ROWS;
  });
  opened.addEventListener("error", () => {
    // The browser connects again by itself, unless it was refused.
    if (opened.readyState !== EventSource.CLOSED) return;
    setTimeout(() => {
      if (source === opened) tail(name);
    }, RECONNECT_MS);
  });
}

/** However many came, the page is changed once for them. */
function draw() {
  const rows = arrived.map(({ id, key, data, base64, time }) => {
    const tr = document.createElement("tr");
    const shown = data.length > DATA_CHARACTERS ? `${data.slice(0, DATA_CHARACTERS)}...` : data;
    const length = data.length > DATA_CHARACTERS ? ` (${count.format(data.length)} characters)` : "";
    for (const [text, className] of [
      [clockTime(time), "time"],
      [key, "key"],
      [`${base64 ? "base64: " : ""}${shown}${length}`, "data"],
      [id, "id"],
    ]) {
      const td = document.createElement("td");
      td.className = className;
      td.textContent = text;
      tr.append(td);
    }
    return tr;
  });
  if (rows.length === 0) return;
  arrived = [];
  element("tail-empty").hidden = true;
  element("tail").prepend(...rows);
  while (element("tail").childElementCount > TAIL_ROWS) element("tail").lastElementChild.remove();
}

// --- the forms

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

element("create").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = event.target.elements.name;
  try {
    const { name } = await post("/v1/topics", { name: input.value });
    input.value = "";
    select(name);
    await refresh();
  } catch (error) {
    input.setCustomValidity(error.message);
    input.reportValidity();
    input.setCustomValidity("");
  }
});

element("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { key, data } = event.target.elements;
  const output = element("published");
  try {
    if (selected === undefined) throw new Error("create a topic first");
    const { id } = await post(`/v1/topics/${encodeURIComponent(selected)}/messages`, {
      key: key.value,
      data: data.value,
    });
    output.className = "";
    output.textContent = `durable: ${id}`;
  } catch (error) {
    output.className = "bad";
    output.textContent = error.message;
  }
});

async function refresh() {
  const health = element("health");
  try {
    const response = await fetch("/v1/status");
    if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
    show(await response.json());
    health.textContent = "live";
    health.className = "good";
  } catch (error) {
    health.textContent = `no answer: ${error.message}`;
    health.className = "bad";
  }
}

for (;;) {
  await refresh();
  await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
}

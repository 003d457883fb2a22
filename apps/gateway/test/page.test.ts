import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium, launchChromium } from "./support/chromium.js";
import { Http } from "./support/http.js";
import { type GatewayProcess, startGatewayProcess } from "./support/process.js";

const chromium = findChromium();
const soon = { timeout: 20_000 };
/** Set to take the picture of the README anew. */
const pictureWanted = (process.env.X_UPDATE_PICTURE ?? "") !== "";
const results = fileURLToPath(new URL("../test-results/", import.meta.url));
const picture = fileURLToPath(new URL("../../../docs/page.png", import.meta.url));

describe("where Chromium is", () => {
  const none = (): boolean => false;

  it("is told by the environment, or found by its name", () => {
    expect(findChromium({ X_CHROMIUM: "/opt/c" }, { exists: (path) => path === "/opt/c" })).toBe("/opt/c");
    expect(findChromium({ PATH: "/a:/b" }, { exists: (path) => path === "/b/chromium" })).toBe("/b/chromium");
  });

  it("is one loud line when there is none, and a failure in CI", () => {
    const lines: string[] = [];
    expect(findChromium({}, { exists: none, onMissing: (line) => lines.push(line) })).toBeUndefined();
    expect(lines).toEqual([expect.stringMatching(/^!!! SKIPPED .*apt-get install chromium.* !!!$/)]);
    expect(() => findChromium({ CI: "true" }, { exists: none })).toThrow(/no suite may be skipped/);
  });
});

describe.skipIf(chromium === undefined)("the page, in a real Chromium", { timeout: 60_000 }, () => {
  let gateway: GatewayProcess;
  let browser: Browser;
  let http: Http;
  beforeAll(async () => {
    await mkdir(results, { recursive: true });
    gateway = await startGatewayProcess({ command: "demo" });
    http = new Http(gateway.url);
    browser = await launchChromium(chromium as string);
    await gateway.process.waitForLine(/^City data: GeoNames/);
    await http.subscribe("cities", "mine");
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await gateway?.process.stop();
  });

  interface Opened {
    readonly page: Page;
    /** What the browser complained of. */
    readonly complaints: string[];
  }

  async function open(
    options: { readonly width?: number; readonly scheme?: "light" | "dark" } = {},
  ): Promise<Opened> {
    const { width = 1280, scheme = "light" } = options;
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(gateway.url);
    await page.locator('body[data-tailing="cities"]').waitFor();
    return { page, complaints };
  }

  async function publish(page: Page, key: string, data: string): Promise<string> {
    await page.getByLabel("Key").fill(key);
    await page.getByLabel("Data").fill(data);
    await page.getByRole("button", { name: "Publish" }).click();
    const answer = page.locator("#published");
    await answer.filter({ hasText: /[0-9a-f]{8}-/ }).waitFor();
    return /[0-9a-f-]{36}/.exec((await answer.textContent()) ?? "")?.[0] ?? "";
  }

  it("shows the cities, their ranges and who holds them, and a message that is published arrives in the tail", async () => {
    const { page, complaints } = await open();
    const cities = page.locator("#topics tr").filter({ hasText: "cities" });
    // 171,075, and more where an append was repeated: each is there at least once.
    const loaded = await http.count("cities");
    expect(loaded).toBeGreaterThanOrEqual(171_075);
    const shown = loaded.toLocaleString("en-US");
    await expect.poll(() => cities.locator(".messages").textContent(), soon).toBe(shown);
    const ranges = page.locator("#ranges tr");
    await expect.poll(() => ranges.count(), soon).toBe(8);
    await expect.poll(() => page.locator("#bar > *").count(), soon).toBe(8);
    const buffers = page.locator("#buffers tr");
    expect(await buffers.count()).toBe(3);
    await expect
      .poll(() => page.locator("#buffers .health.good").allTextContents(), soon)
      .toEqual(Array(3).fill("healthy"));
    expect(await page.locator("#buffers .health").first().getAttribute("title")).toMatch(
      /^since \d\d:\d\d:\d\d; answered [\d,]+ ms ago$/,
    );
    expect(await page.locator("#registry").textContent()).toBe(
      "3 of 3 well. One that stops answering is noticed within 0.8 s.",
    );
    expect(await page.locator("#archive").textContent()).toBe("Archive: 2 of 2 stores well.");
    const holders = await ranges.locator("td:nth-child(2)").allTextContents();
    const ids = await buffers.locator("td:nth-child(1)").allTextContents();
    expect(new Set(holders.map((text) => text.trim()))).toEqual(new Set(ids));
    expect(await page.locator("#attribution").isVisible()).toBe(true);
    expect(await page.locator("#attribution").textContent()).toContain("GeoNames");

    // Until the tail is known to have begun, what is published may be in front of its start.
    const tail = page.locator("#tail tr");
    let id = "";
    do {
      id = await publish(page, "CH", "Grüezi from the form");
      await tail
        .first()
        .waitFor({ timeout: 500 })
        .catch(() => {});
    } while ((await tail.count()) === 0);
    const row = tail.filter({ hasText: id });
    await row.waitFor();
    expect(await row.locator(".data").textContent()).toBe("Grüezi from the form");
    await expect.poll(() => cities.locator(".messages").textContent(), soon).not.toBe(shown);

    // Something to look at: the places of the picture come from other clients.
    for (const [key, place] of [
      ["JP", "Kyōto"],
      ["BR", "São Paulo"],
      ["EG", "القاهرة"],
      ["IS", "Reykjavík"],
    ]) {
      await http.postLines("cities", [
        { key: key as string, data: JSON.stringify({ name: place, country: key }) },
      ]);
    }
    await expect.poll(() => tail.count(), soon).toBeGreaterThanOrEqual(5);
    await page.screenshot({ path: `${results}page.png`, fullPage: true });
    if (pictureWanted) await page.screenshot({ path: picture, fullPage: true });
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("creates topics and shows the tail of the new one: bytes as base64, markup as the text that it is", async () => {
    const { page, complaints } = await open();
    await page.getByLabel("New topic").fill("from_the_page");
    await page.getByRole("button", { name: "Create" }).click();
    await page.locator('body[data-tailing="from_the_page"]').waitFor();
    expect(await page.locator("#tail tr").count()).toBe(0);
    const message = { key: "bytes", data: Buffer.from([0xff, 0xfe]).toString("base64"), base64: true };
    while ((await page.locator("#tail tr").count()) === 0) {
      await http.postLines("from_the_page", [message]);
      await page.waitForTimeout(50);
    }
    expect(await page.locator("#tail .data").first().textContent()).toBe("base64: //4=");

    await publish(page, "<i>k</i>", "<b>bold</b><script>alert(1)</script>");
    const row = page.locator("#tail tr").filter({ hasText: "alert" });
    expect(await row.locator(".data").textContent(), "text, not HTML").toBe(
      "<b>bold</b><script>alert(1)</script>",
    );
    expect(await row.locator(".key").textContent()).toBe("<i>k</i>");
    await page.getByRole("button", { name: "cities" }).click();
    await page.locator('body[data-tailing="cities"]').waitFor();
    expect(await page.locator("#tail tr").count()).toBe(0);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it("keeps the focus on a topic while it shows the next status", async () => {
    const { page } = await open();
    const button = page.getByRole("button", { name: "cities" });
    await button.focus();
    for (let i = 0; i < 2; i++)
      await page.waitForResponse((response) => response.url().endsWith("/v1/status"));
    await page.waitForFunction("document.activeElement?.textContent === 'cities'");
    await page.close();
  });

  it("says in its own words what was refused, and when the gateway is gone", async () => {
    const { page } = await open();
    await page.getByLabel("Key").fill("é".repeat(100));
    await page.getByRole("button", { name: "Publish" }).click();
    await expect
      .poll(() => page.locator("#published").textContent(), soon)
      .toContain("1 to 128 bytes of UTF-8");
    await gateway.process.kill("SIGKILL");
    await expect.poll(() => page.locator("#health").textContent(), soon).toContain("no answer");
    await gateway.process.restart();
    await expect.poll(() => page.locator("#health").textContent(), soon).toBe("live");
    await page.close();
  });

  it.each([
    [1280, "dark"],
    [390, "light"],
    [390, "dark"],
  ] as const)("fits into %d pixels, %s", async (width, scheme) => {
    const { page, complaints } = await open({ width, scheme });
    await expect.poll(() => page.locator("#ranges tr").count(), soon).toBe(8);
    while ((await page.locator("#tail tr").count()) < 3) {
      await http.postLines("cities", [
        { key: "NZ", data: JSON.stringify({ name: "Taumatawhakatangihanga", lat: "-40.3", lng: "176.5" }) },
      ]);
      await page.waitForTimeout(50);
    }
    await page.screenshot({ path: `${results}page-${width}-${scheme}.png`, fullPage: true });
    const overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth");
    expect(overflow, "nothing sticks out at the side").toBeLessThanOrEqual(0);
    expect(complaints).toEqual([]);
    await page.close();
  });
});

#!/usr/bin/env node
/** One window in a process of its own: `node --expose-gc client-main.js CALL PLACES`, both as JSON of `call.ts`; prints its figures as JSON. */
import { setTimeout } from "node:timers/promises";
import { type Call, type Places, warmUpOf } from "./call.js";
import { runLoad } from "./loads.js";
import { Stores } from "./stores.js";

const [call, places] = process.argv.slice(2).map((text) => JSON.parse(text)) as [Call, Places]; // the benchmark's own
using stores = new Stores(places);
await runLoad(warmUpOf(call), stores);
// Loads in memory are promises alone: without this the event loop would not turn once, as it does all the time in a program that lasts.
await setTimeout(10);
process.stdout.write(`${JSON.stringify(await runLoad(call, stores))}\n`);

import type { Clock } from "./clock.js";
import type { FileSystem } from "./file-system.js";
import type { Coord } from "./port.js";

export interface EmbeddedOptions {
  /** Made if missing. Everything in it belongs to the store. */
  readonly directory: string;
  readonly clock?: Clock;
  readonly fileSystem?: FileSystem;
  readonly randomBytes?: (count: number) => Uint8Array;
  readonly historyRevisions?: number;
  readonly historyBytes?: number;
  readonly walBytes?: number;
  readonly signal?: AbortSignal;
}

export interface EmbeddedCoord extends Coord {
  readonly generation: number;
  readonly failure: AbortSignal;
  compact(revision: bigint, options?: { readonly signal?: AbortSignal }): Promise<void>;
}

export declare function openEmbeddedCoord(options: EmbeddedOptions): Promise<EmbeddedCoord>;

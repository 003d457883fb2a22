import type { Clock, Random } from "../clock.js";
import type { StoreFiles } from "./files.js";
import type { ProcessIdentity } from "./process-identity.js";

/** What a directory store has of the outside. */
export interface DirectoryPorts {
  readonly files: StoreFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly process: ProcessIdentity;
}

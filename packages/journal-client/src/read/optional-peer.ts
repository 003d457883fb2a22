import { JournalError } from "../errors.js";

/** Loads a package that only some journals need, at its first use. @throws JournalError "unsupported-codec" when it is not installed */
export async function optionalPeer<T>(codec: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new JournalError(
      "unsupported-codec",
      `a fragment is compressed with ${codec}, for which the package "${name}" must be installed (npm install ${name}), and it did not load`,
      { cause },
    );
  }
}

import { argument, type Place, refuse, within } from "./refusal.js";
import { checkPathComponent } from "./text-rules.js";

export const MAX_JOURNAL_NAME_BYTES = 512;

/** The name of a journal without its `;meta`, which brokers ignore (it tells requests apart in logs and metrics). */
export function stripMeta(journal: string): string {
  const at = journal.indexOf(";");
  return at < 0 ? journal : journal.slice(0, at);
}

/** A journal's name; `;meta` may follow it unless `meta` is "refused". */
export function checkJournalNameAt(
  place: Place,
  value: unknown,
  meta: "allowed" | "refused" = "allowed",
): void {
  if (typeof value !== "string") refuse(place, value, "it must be the name of a journal, a string");
  const name = stripMeta(value);
  checkPathComponent(place, name, 4, MAX_JOURNAL_NAME_BYTES);
  if (name.length === value.length) return;
  if (meta === "refused") refuse(place, value, 'the name must not have a ";meta" part here');
  checkPathComponent(within(place, '";meta" part'), value.slice(name.length + 1), 1, MAX_JOURNAL_NAME_BYTES);
}

/**
 * Checks the name of a journal as brokers do: 4 to 512 bytes of letters, digits and `- _ + / . = %`, a clean path that is not rooted,
 * and perhaps `;meta` with the same rules.
 * @throws JournalError "invalid-argument"
 */
export function checkJournalName(journal: string): void {
  checkJournalNameAt(argument("journal"), journal);
}

/** A media type with its parameters, as RFC 2045 has it: `application/json; charset=utf-8`. */
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const MEDIA_TYPE = new RegExp(
  `^\\s*${TOKEN}(?:/${TOKEN})?\\s*(?:;\\s*${TOKEN}\\s*=\\s*(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")\\s*)*;?\\s*$`,
);

export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text);
}

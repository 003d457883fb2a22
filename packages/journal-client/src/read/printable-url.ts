/** A URL without what may be secret in it: signed URLs have it in their query, others in their credentials. */
export function printableUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return `(not a URL, ${url.length} characters)`;
  }
}

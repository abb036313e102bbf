/** Ids of what the coordinator makes: random, so that one reveals nothing about the others. */
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Makes ids with a prefix; a test passes one that counts. */
export type NewId = (prefix: IdPrefix) => string;

/** OpenAI's prefixes, which its clients and users know. */
type IdPrefix = "file" | "ftjob" | "ftckpt" | "upload" | "part" | "ftexport";

/** `<prefix>-` and 24 random characters: 142 bits. */
export const randomId: NewId = (prefix) => `${prefix}-${randomText(24)}`;

/** Characters that need no escaping in URLs, file names and NATS subjects, from the system's secure generator. */
export function randomText(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      // 248 = 4 · 62: bytes above would favour the alphabet's first characters.
      if (byte < 248 && text.length < length) text += ALPHABET[byte % 62]!;
    }
  }
  return text;
}

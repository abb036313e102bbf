/** Byte-level tokenizers write each byte of UTF-8 as one printable character (GPT-2's `bytes_to_unicode`). */

const BYTE_CHARACTERS: readonly string[] = makeByteCharacters();
export const CHARACTER_BYTES: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

function makeByteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
}

const encoder = new TextEncoder();

/** "é" → "Ã©". */
export function toByteCharacters(text: string): string {
  let out = "";
  for (const byte of encoder.encode(text)) out += BYTE_CHARACTERS[byte];
  return out;
}

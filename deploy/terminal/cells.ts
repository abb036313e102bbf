/** Text in a terminal: columns that it takes, and what must not reach it. */

/** East Asian characters and emoji take two columns, marks that join the character before them none. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}|\ufe0f/u;
const JOINED = /^(\p{M}|\p{Cf}|[\u1160-\u11ff])/u;

const characters = new Intl.Segmenter("und", { granularity: "grapheme" });

/** What a reader takes for one character. */
function split(text: string): string[] {
  return Array.from(characters.segment(text), ({ segment }) => segment);
}

export function columnsOf(text: string): number {
  return split(text).reduce(
    (sum, character) => sum + (WIDE.test(character) ? 2 : JOINED.test(character) ? 0 : 1),
    0,
  );
}

/** Spaces up to `columns`. */
export function padTo(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - columnsOf(text)));
}

/** Cut to `columns`, with an ellipsis for the rest. */
export function cutTo(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let [kept, width] = ["", 0];
  for (const character of split(text)) {
    width += columnsOf(character);
    if (width > columns - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Control characters, those of C1 included, as escapes: a row's text must not steer the terminal. */
export function visible(text: string): string {
  // deno-lint-ignore no-control-regex -- these are the ones
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    const escaped = JSON.stringify(character).slice(1, -1);
    return escaped === character ? `\\u00${character.charCodeAt(0).toString(16)}` : escaped;
  });
}

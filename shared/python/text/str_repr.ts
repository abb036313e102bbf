const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** Characters for which `str.isprintable` is false, and the space U+0020, for which it is true. */
export const NOT_PRINTABLE = /[\p{C}\p{Z}]/u;
const ESCAPED = /[\p{C}\p{Z}\\]/gu;

/** `repr` of a text: in single quotes, unless it has those and no double ones. */
export function strRepr(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(ESCAPED, (char) => {
    if (char === " ") return char;
    const short = SHORT_ESCAPES[char];
    if (short !== undefined) return short;
    const point = char.codePointAt(0)!;
    if (point <= 0xff) return `\\x${hex(point, 2)}`;
    return point <= 0xffff ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`;
  });
  return `${mark}${mark === "'" ? escaped.replaceAll("'", "\\'") : escaped}${mark}`;
}

function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, "0");
}

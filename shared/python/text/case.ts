/** Python's letter case: like JavaScript's, but for title case and case folding, which JavaScript lacks. */

/** `str.title` of one character, as Unicode's title case has it. */
function titleChar(char: string): string {
  const point = char.codePointAt(0)!;
  if (point < 0x80) return char.toUpperCase();
  // DŽ, Lj, nj, ...: three forms each, the second of which is title case.
  if (point >= 452 && point <= 460) return String.fromCodePoint(453 + 3 * Math.floor((point - 452) / 3));
  if (point >= 497 && point <= 499) return String.fromCodePoint(498);
  // Georgian has capitals, but no title case.
  if (point >= 4304 && point <= 4351) return char;
  // Greek with a iota subscript: a capital with an adscript.
  if (point >= 8064 && point <= 8111) return String.fromCodePoint(point | 8);
  if (point === 8115 || point === 8131 || point === 8179) return String.fromCodePoint(point + 9);
  if (point === 8124 || point === 8140 || point === 8188) return char;
  const upper = char.toUpperCase();
  if ([8114, 8116, 8119, 8130, 8132, 8135, 8178, 8180, 8183].includes(point)) return iotaSubscript(upper);
  const isLigature = point === 223 || point === 1415 || (point >= 64256 && point <= 64279);
  return isLigature ? upper[0] + upper.slice(1).toLowerCase() : upper;
}

/** Α͂Ι → ᾼ͂: the last letter becomes a mark on the first, which is one character with it where Unicode has one. */
function iotaSubscript(upper: string): string {
  const joined = `${upper.slice(0, -1)}\u0345`;
  const composed: Readonly<Record<string, string>> = { Α: "ᾼ", Η: "ῌ", Ω: "ῼ" };
  const capital = composed[upper[0]!];
  return capital === undefined ? joined : capital + upper.slice(1, -1);
}

export function title(text: string): string {
  let result = "";
  let afterCased = false;
  for (const char of text) {
    result += afterCased ? char.toLowerCase() : titleChar(char);
    afterCased = /\p{Cased}/u.test(char);
  }
  return result;
}

export function capitalize(text: string): string {
  if (text === "") return "";
  const first = String.fromCodePoint(text.codePointAt(0)!);
  // The whole text is lowered, so that a final sigma sees what stands before it.
  const lowered = text.toLowerCase();
  return titleChar(first) + lowered.slice(first.toLowerCase().length);
}

export function swapCase(text: string): string {
  const lowered = /[\u03a3]/.test(text) ? null : true;
  let result = "";
  for (const char of text) {
    if (/\p{Uppercase}/u.test(char)) result += lowered === null && char === "Σ" ? "σ" : char.toLowerCase();
    else result += /\p{Lowercase}/u.test(char) ? char.toUpperCase() : char;
  }
  return result;
}

const FOLDED =
  /[µßŉſǰͅΐΰςϐϑϕϖϰϱϵև\u1c80-\u1c88\u1e96-\u1e9bὐὒὔὖ\u1f80-\u1faf\u1fb2-\u1fb4\u1fb6\u1fb7\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6\u1fc7\u1fcc\u1fd2\u1fd3\u1fd6\u1fd7\u1fe2-\u1fe4\u1fe6\u1fe7\u1ff2-\u1ff4\u1ff6\u1ff7\u1ffc\ufb00-\ufb06\ufb13-\ufb17]/;
const CHEROKEE = /[\u13a0-\u13fd\uab70-\uabbf]/;

export function caseFold(text: string): string {
  let result = "";
  for (const char of text) {
    if (char === "ẞ") result += "ss";
    else if (CHEROKEE.test(char)) result += char.toUpperCase();
    else if (FOLDED.test(char)) {
      result += [...char.toUpperCase()].map((upper) => upper.toLowerCase()).join("");
    } else result += char.toLowerCase();
  }
  return result;
}

/** `str.isalpha` and its like: what kinds of characters a text consists of. */
import { NOT_PRINTABLE } from "./str_repr.ts";
import { isSpaceUnit } from "./whitespace.ts";

/** Digits beyond the decimal ones (Numeric_Type=Digit): superscripts, circled ones and so on. */
const OTHER_DIGITS =
  /^[\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]$/u;
/** Ideographs that are numbers. */
const NUMBER_LETTERS = new Set(
  "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貳貮贰阡陆陌陸零参六陸什拾𠀁𠁤𠃢𠄡𠤪𠬣𠬤𠬼𠭪𠭭𠮡𢎐𢦘𣬛𦉭六" +
    "\uf96b\uf973\uf978\uf9b2\uf9d1\uf9d3\uf9fd\u{2f890}",
);

const isAlpha = (char: string) => /^\p{L}$/u.test(char);
const isDecimal = (char: string) => /^\p{Nd}$/u.test(char);
const isDigit = (char: string) => isDecimal(char) || OTHER_DIGITS.test(char);
const isNumeric = (char: string) => /^\p{N}$/u.test(char) || NUMBER_LETTERS.has(char);

function all(text: string, holds: (char: string) => boolean): boolean {
  return text !== "" && Array.from(text).every(holds);
}

export const CLASSES: Readonly<Record<string, (text: string) => boolean>> = {
  isalnum: (text) => all(text, (char) => isAlpha(char) || isNumeric(char)),
  isalpha: (text) => all(text, isAlpha),
  // deno-lint-ignore no-control-regex -- ASCII begins with control characters
  isascii: (text) => /^[\u0000-\u007f]*$/.test(text),
  isdecimal: (text) => all(text, isDecimal),
  isdigit: (text) => all(text, isDigit),
  isidentifier: (text) => /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(text),
  islower: (text) => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text),
  isnumeric: (text) => all(text, isNumeric),
  isprintable: (text) => !NOT_PRINTABLE.test(text.replaceAll(" ", "")),
  isspace: (text) => all(text, (char) => isSpaceUnit(char.charCodeAt(0))),
  istitle: isTitle,
  isupper: (text) => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text),
};

/** Capitals only where a word begins, small letters only inside. */
function isTitle(text: string): boolean {
  let cased = false;
  let afterCased = false;
  for (const char of text) {
    const isCapital = /[\p{Uppercase}\p{Lt}]/u.test(char);
    const isSmall = /\p{Lowercase}/u.test(char);
    if ((isCapital && afterCased) || (isSmall && !afterCased)) return false;
    afterCased = isCapital || isSmall;
    cased ||= afterCased;
  }
  return cased;
}

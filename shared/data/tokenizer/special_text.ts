/**
 * Strings such as "</s>" in a user's text name special tokens, and a tokenizer cannot tell them from those that a
 * chat template wrote. So they are hidden before the template sees them: the first character of each becomes one
 * that occurs nowhere else, and it comes back after the tokenizer has looked for special tokens.
 */

/** One text's (or one conversation's) substitution. */
export interface Hiding {
  /** Makes the special-token strings in a user's text unrecognisable. */
  hide(text: string): string;
  /** Undoes `hide`, in whole texts and in pieces of them. */
  reveal(text: string): string;
}

export interface SpecialText {
  includes(text: string): boolean;
  /** A substitution whose characters do not occur in `context`. */
  hidingFor(context: string): Hiding;
}

/**
 * Unassigned in every version of Unicode, so that nothing normalises, drops or splits it: private use characters would
 * be dropped by BERT's cleaning of text.
 */
const FIRST_SUBSTITUTE = 0xe1000;

export function createSpecialText(contents: readonly string[]): SpecialText {
  // Longest first, so that hiding a short one does not leave the rest of a longer one readable.
  const strings = [...new Set(contents)].sort((a, b) => b.length - a.length);
  const firsts = [...new Set(strings.map((content) => String.fromCodePoint(content.codePointAt(0)!)))];
  /** Most texts have no such character, and a tokenizer may have hundreds of special tokens. */
  const mayInclude = (text: string): boolean => firsts.some((first) => text.includes(first));
  return {
    includes: (text) => mayInclude(text) && strings.some((content) => text.includes(content)),
    hidingFor(context) {
      const substitutes = new Map<string, string>();
      let code = FIRST_SUBSTITUTE;
      for (const first of firsts) {
        while (context.includes(String.fromCodePoint(code))) code++;
        substitutes.set(first, String.fromCodePoint(code++));
      }
      return {
        hide(text) {
          if (!mayInclude(text)) return text;
          let hidden = text;
          for (const content of strings) {
            if (!hidden.includes(content)) continue;
            const first = String.fromCodePoint(content.codePointAt(0)!);
            hidden = hidden.replaceAll(content, () => substitutes.get(first)! + content.slice(first.length));
          }
          return hidden;
        },
        reveal(text) {
          let revealed = text;
          for (const [first, substitute] of substitutes) {
            revealed = revealed.replaceAll(substitute, () => first);
          }
          return revealed;
        },
      };
    },
  };
}

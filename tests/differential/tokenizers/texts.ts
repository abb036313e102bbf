/** Seeded texts for the comparison of tokenizers; texts.py makes the same ones from the same alphabets. */
import alphabets from "./alphabets.json" with { type: "json" };

/** Whole numbers below `below` (Tommy Ettinger's mulberry32, public domain). */
function mulberry32(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function members(ranges: string): number[] {
  return ranges.split(" ").flatMap((span) => {
    const [first, last] = span.split("-").map((point) => parseInt(point, 16));
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, i) => first! + i);
  });
}

const CLASSES = Object.values(alphabets.classes).map(members);
const SPACES = [
  ...[" ", "  ", "\n", "\r\n", "\t", " \n", "\u00a0", "\u0085", "\ufeff", "\u2028", "\u3000"],
];

export function makeTexts(seed: number, count: number): string[] {
  const draw = mulberry32(seed);
  const pick = <T>(items: readonly T[]): T => items[draw(items.length)]!;
  const character = (): string => String.fromCodePoint(pick(pick(CLASSES)));
  return Array.from({ length: count }, () => {
    let text = "";
    for (let parts = 1 + draw(12); parts > 0; parts--) {
      const kind = draw(10);
      if (kind < 4) text += pick(alphabets.fragments);
      else if (kind < 7) text += character();
      else if (kind === 7) text += character().repeat(1 + draw(12));
      else if (kind === 8) {
        const ofOne = pick(CLASSES);
        for (let length = 1 + draw(6); length > 0; length--) text += String.fromCodePoint(pick(ofOne));
      } else text += pick(SPACES);
    }
    return text;
  });
}

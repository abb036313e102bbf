/** Damage, as a network, a defect or an enemy would do it: to bytes, to JSON values, and to frames whose checksum is made right. */
import type { Prng } from "../../shared/prng.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What stands where something else was expected; each has broken a parser somewhere. */
const STRANGERS: readonly string[] = [
  ...[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "-0",
    "0.5",
    "1e308",
    "-1e308",
    "1e999",
    "9007199254740993",
    "4294967296",
  ],
  ...[
    '""',
    '"*"',
    '">"',
    '"a.b"',
    '"../../etc/passwd"',
    '"\\u0000"',
    '"\\ud800"',
    '"__proto__"',
    '"constructor"',
  ],
  ...[
    "[]",
    "{}",
    "[[]]",
    "[null]",
    '{"__proto__":{"polluted":true}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
  ],
  ...['"NaN"', '"Infinity"', '"9".repeat', '{"length":4294967295}', '{"toJSON":1,"valueOf":2,"toString":3}'],
];
const KEYS = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "worker",
  "",
  "0",
  "then",
];
/** Mostly of a size that costs nothing, now and then of one that a recursion does not survive. */
const sizeOf = (random: Prng) => random.below(50) === 0 ? 20_000 : 1 + random.below(20);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Other bytes than these, most of the time. */
export function mutateBytes(bytes: Uint8Array, random: Prng): Uint8Array {
  const at = () => random.below(Math.max(1, bytes.length));
  switch (random.below(7)) {
    case 0:
    case 1: {
      const changed = bytes.slice();
      if (changed.length > 0) changed[at()]! ^= 1 << random.below(8);
      return changed;
    }
    case 2:
      return bytes.slice(0, at());
    case 3:
      return bytes.slice(at());
    case 4: {
      const [from, count] = [at(), 1 + random.below(16)];
      return joined(
        bytes.subarray(0, from),
        bytes.subarray(Math.max(0, from - count), from),
        bytes.subarray(from),
      );
    }
    case 5: {
      const noise = Uint8Array.from({ length: 1 + random.below(12) }, () => random.below(256));
      const from = at();
      return joined(bytes.subarray(0, from), noise, bytes.subarray(from));
    }
    default: {
      const changed = bytes.slice();
      const [from, value] = [at(), [0, 0x7f, 0x80, 0xff][random.below(4)]!];
      return changed.fill(value, from, from + 1 + random.below(8));
    }
  }
}

/** A message in JSON with something else in one or two places, or with damaged bytes. */
export function mutateMessage(message: Uint8Array, random: Prng): Uint8Array {
  if (random.below(4) === 0) return mutateBytes(message, random);
  let text = decoder.decode(message);
  for (let count = 1 + random.below(2); count > 0; count--) {
    try {
      text = withOneChange(JSON.parse(text), random);
    } catch {
      return encoder.encode(text);
    }
  }
  return encoder.encode(text);
}

/** A place in a value that is replaced in the text: what goes in need not be JSON that we could make of objects. */
const PLACE = "here-it-is-changed-7d1f";

function withOneChange(value: Json, random: Prng): string {
  const spots: [holder: Json[] | { [key: string]: Json }, key: string | number][] = [];
  const visit = (holder: Json[] | { [key: string]: Json }) => {
    for (const key of Object.keys(holder)) {
      const place = Array.isArray(holder) ? Number(key) : key;
      spots.push([holder, place]);
      const inner = (holder as { [key: string]: Json })[key]!;
      if (typeof inner === "object" && inner !== null) visit(inner);
    }
  };
  const root = { root: value };
  visit(root);
  const [holder, key] = spots[random.below(spots.length)]!;
  const target = holder as { [key: string]: Json };
  const stranger = STRANGERS[random.below(STRANGERS.length)]!;
  const shown = () => JSON.stringify(root.root) ?? "";
  switch (random.below(6)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else if (holder !== root) delete target[key];
      return shown();
    case 1: {
      // A key that an object has from its prototype, or twice: JSON.stringify would never write it.
      const added = `${JSON.stringify(KEYS[random.below(KEYS.length)])}:${stranger},`;
      return shown().replace("{", `{${added}`);
    }
    case 2:
      target[key] = Array.from({ length: Math.min(500, sizeOf(random)) }, () => target[key]!);
      return shown();
    case 3: {
      target[key] = PLACE;
      const depth = sizeOf(random);
      const [open, close] = random.below(2) === 0 ? ["[", "]"] : ['{"a":', "}"];
      return shown().replace(`"${PLACE}"`, () => open.repeat(depth) + "1" + close.repeat(depth));
    }
    case 4: {
      const other = spots[random.below(spots.length)]!;
      target[key] = structuredClone((other[0] as { [key: string]: Json })[other[1]]!);
      return shown();
    }
    default:
      target[key] = PLACE;
      return shown().replace(`"${PLACE}"`, () => stranger);
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

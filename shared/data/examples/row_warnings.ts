import { quote } from "../../errors.ts";
import type { Loss } from "../chat/masks/dropped.ts";
import type { RowUnit } from "../rows/row.ts";

/** How many rows share something, and where it was seen first. */
interface Count {
  rows: number;
  lastLine: number;
  readonly firstLine: number;
  /** From the first row. */
  readonly example: string;
}

/** Each kind of observation with its sentence; `some` is "3 of 7 rows". */
const SENTENCES = {
  "stop untrained": (some, { example }) =>
    `${some} train no token at which generation stops (${example}): the tuned model may not know where to end.`,
  "written specials": (some, { firstLine, example, unit }) =>
    `${some} (the first is ${unit} ${firstLine}) begin with ${example}: they look formatted beforehand, but the strings ` +
    `of special tokens in them were encoded as plain text, which the model does not see in use. Set ` +
    `dataset.split_special_tokens to false, so that they become tokens.`,
  "special text": (some, { firstLine, unit }) =>
    `${some} (the first is ${unit} ${firstLine}) contain the strings of special tokens, which were encoded as plain text. ` +
    `If they are meant as special tokens, set dataset.split_special_tokens to false.`,
  "no response": (some, { firstLine, unit }) =>
    `${some} (the first is ${unit} ${firstLine}) are left out: they do not contain dataset.response_template.`,
  "templates of chats": (some) =>
    `${some} hold messages, whose turns the chat template marks: dataset.response_template is for plain text and has no ` +
    `effect on them.`,
  "templates of completions": (some) =>
    `${some} hold a completion, which is what is trained: dataset.response_template is for plain text and has no effect on ` +
    `them.`,
  "split prompt": (some) =>
    `${some.replace("rows", "prompts")} end in tokens that merge with the completion: the model is trained ` +
    `on a different context than it will see. Let prompts end at a token's boundary, for instance with a line ` +
    `break.`,
  "null arguments": (some, { firstLine, unit }) =>
    `${some} (the first is ${unit} ${firstLine}) call tools with arguments that are null, and are trained to write null. ` +
    `If a table filled them in, leave them out.`,
} satisfies Record<string, (some: string, found: Count & { readonly unit: RowUnit }) => string>;

type Observation = keyof typeof SENTENCES;
const OBSERVATIONS = Object.keys(SENTENCES) as Observation[];

/** What was seen in a run of rows: plain data, to be added to what was seen in the rows before. */
export interface SeenInRows {
  readonly rows: number;
  readonly observed: ReadonlyMap<Observation, Readonly<Count>>;
  readonly lost: ReadonlyMap<string, Readonly<Count>>;
}

export interface RowWarnings {
  /** Counts a row once for each kind. */
  note(observation: Observation, line: number, example?: string): void;
  noteLosses(line: number, losses: readonly Loss[]): void;
  rowDone(): void;
  /** What was seen since the last call; from then on it is not known here any more. */
  take(): SeenInRows;
  /** Goes on after rows in which others saw this. */
  add(seen: SeenInRows): void;
  /** One sentence for each kind. */
  list(): string[];
}

export function createRowWarnings(unit: RowUnit = "line"): RowWarnings {
  let rows = 0;
  let observed = new Map<Observation, Count>();
  let lost = new Map<string, Count>();

  const some = (found: Count) => `${found.rows} of ${rows} rows`;
  return {
    note: (observation, line, example = "") => count(observed, observation, line, example),
    noteLosses(line, losses) {
      for (const { what, message, example } of losses) {
        count(lost, what, line, `${message === null ? "" : `, message ${message}`}: ${quote(example)}`);
      }
    },
    rowDone: () => rows++,
    take() {
      const seen = { rows, observed, lost };
      [rows, observed, lost] = [0, new Map(), new Map()];
      return seen;
    },
    add(seen) {
      rows += seen.rows;
      for (const [kind, found] of seen.observed) append(observed, kind, found);
      for (const [what, found] of seen.lost) append(lost, what, found);
    },
    list: () => [
      ...OBSERVATIONS.flatMap((kind) => {
        const found = observed.get(kind);
        return found === undefined ? [] : [SENTENCES[kind](some(found), { ...found, unit })];
      }),
      ...[...lost].map(([what, found]) =>
        `The chat template drops ${what} in ${some(found)}, which are trained without it. The first is ` +
        `${unit} ${found.firstLine}${found.example}.`
      ),
    ],
  };
}

/** As if the rows of `found` had been counted one by one. */
function append<Key>(counts: Map<Key, Count>, key: Key, found: Readonly<Count>): void {
  const known = counts.get(key);
  if (known === undefined) {
    counts.set(key, { ...found });
    return;
  }
  known.rows += found.rows - (known.lastLine === found.firstLine ? 1 : 0);
  known.lastLine = found.lastLine;
}

function count<Key>(counts: Map<Key, Count>, key: Key, line: number, example: string): void {
  const known = counts.get(key);
  if (known === undefined) counts.set(key, { rows: 1, firstLine: line, lastLine: line, example });
  else if (known.lastLine !== line) {
    known.rows++;
    known.lastLine = line;
  }
}

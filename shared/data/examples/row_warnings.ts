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

export interface RowWarnings {
  /** Counts a row once for each kind. */
  note(observation: Observation, line: number, example?: string): void;
  noteLosses(line: number, losses: readonly Loss[]): void;
  rowDone(): void;
  /** One sentence for each kind. */
  list(): string[];
}

export function createRowWarnings(unit: RowUnit = "line"): RowWarnings {
  let rows = 0;
  const observed = new Map<Observation, Count>();
  const lost = new Map<string, Count>();

  const some = (found: Count) => `${found.rows} of ${rows} rows`;
  return {
    note: (observation, line, example = "") => count(observed, observation, line, example),
    noteLosses(line, losses) {
      for (const { what, message, example } of losses) {
        count(lost, what, line, `${message === null ? "" : `, message ${message}`}: ${quote(example)}`);
      }
    },
    rowDone: () => rows++,
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

function count<Key>(counts: Map<Key, Count>, key: Key, line: number, example: string): void {
  const known = counts.get(key);
  if (known === undefined) counts.set(key, { rows: 1, firstLine: line, lastLine: line, example });
  else if (known.lastLine !== line) {
    known.rows++;
    known.lastLine = line;
  }
}

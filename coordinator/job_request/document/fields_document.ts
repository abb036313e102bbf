/** docs/fields.md: what happens to each field of the libraries' configurations, from the tables that the parser reads. */
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { FIELD_RULES, type Group, GROUPS } from "../fields.ts";
import type { FieldRule } from "../fields/rule.ts";
import { REFUSED_VALUES } from "../fields/refused_values.ts";
import { SHAPES } from "../known_fields.ts";
import libraryFields from "../library_fields.json" with { type: "json" };
import { DONE } from "./done.ts";
import { code, valueWords } from "./value_words.ts";

type Treatment = "done" | "no effect" | "refused";

interface Row {
  readonly field: string;
  readonly treatment: Treatment;
  readonly words: string;
}

const INTRODUCTION = `# Fields of other libraries

Made from the code by \`deno task fields\`. Paste whole configurations: a \`LoraConfig\` (or \`adapter_config.json\`, or
the arguments of \`get_peft_model\`) as \`lora\`, a \`BitsAndBytesConfig\` as \`quantization\`, \`TrainingArguments\` or an
\`SFTConfig\` as \`training\`. A field is

- **done**: it has the effect that it has in its library, or the one that is described;
- **no effect**: any value is accepted, and the job's events list the field;
- **refused**: a value other than the accepted ones is refused before anything is trained, with this sentence.

\`null\` is the same as leaving a field out.
`;

/** The whole text of docs/fields.md. */
export function fieldsDocument(): string {
  const sections = Object.entries(libraryFields).map(([name, { group, fields }]) =>
    section(`${name} → \`${group}\``, rowsOf(group as Group, Object.keys(fields)))
  );
  for (const group of GROUPS) {
    const known = new Set(
      Object.values(libraryFields).filter((library) => library.group === group)
        .flatMap(({ fields }) => Object.keys(fields)),
    );
    const others = [...Object.keys(SHAPES[group]), ...Object.keys(FIELD_RULES[group])]
      .filter((field) => !known.has(field));
    if (others.length > 0) sections.push(section(`Further fields of \`${group}\``, rowsOf(group, others)));
  }
  return [INTRODUCTION, ...sections].join("\n");
}

function section(title: string, rows: readonly Row[]): string {
  const lines = rows.map(({ field, treatment, words }) =>
    `| \`${field}\` | ${treatment} | ${words.replaceAll("|", "\\|")} |`
  );
  return [`## ${title}`, "", "| field | here | |", "| --- | --- | --- |", ...lines, ""].join("\n");
}

function rowsOf(group: Group, fields: readonly string[]): Row[] {
  return fields.map((field) => ({ field, ...classify(group, field) }));
}

/** Throws a `RangeError` for a field that nothing classifies, or that is done without a sentence. */
export function classify(group: Group, field: string): Omit<Row, "field"> {
  if (Object.hasOwn(SHAPES[group], field)) return done(`${group}.${field}`);
  const rule = Object.hasOwn(FIELD_RULES[group], field) ? FIELD_RULES[group][field] : undefined;
  if (rule === undefined) {
    throw new RangeError(`${group}.${field} is neither a field of a job nor in FIELD_RULES`);
  }
  return ruled(rule);
}

function done(path: string): Omit<Row, "field"> {
  const sentence = DONE[path];
  if (sentence === undefined) throw new RangeError(`${path} has no sentence in DONE`);
  return { treatment: "done", words: `${sentence}; ${valueWords(schemaAt(path))}${refusedWords(path)}` };
}

/** Values that the libraries have and a field of a job does not. */
function refusedWords(path: string): string {
  const refused = Object.hasOwn(REFUSED_VALUES, path) ? REFUSED_VALUES[path]! : [];
  return refused.map(({ values, why }) => `. Refused: ${values.map(code).join(", ")}, ${why}`).join("");
}

function ruled(rule: FieldRule): Omit<Row, "field"> {
  switch (rule.kind) {
    case "afterwards":
    case "tracking":
      return { treatment: "done", words: rule.words };
    case "resumed":
      return {
        treatment: "done",
        words:
          "The id of a job, checkpoint or model of this coordinator; goes on from its whole training state if that is " +
          "there and the data is the same, else from its adapter (training.md)",
      };
    case "alias":
      return { treatment: "done", words: `Another name of \`${rule.to}\`` };
    case "translated": {
      const meanings = Object.entries(rule.values).map(([from, to]) => `${code(from)} is ${code(to)}`);
      return { treatment: "done", words: `Sets \`${rule.to}\`: ${meanings.join(", ")}; ${rule.reason}` };
    }
    case "unused":
      return { treatment: "no effect", words: sentenceOf(rule.why) };
    case "only": {
      const accepted = rule.values.length === 0 ? "" : ` (accepted: ${rule.values.map(code).join(", ")})`;
      return { treatment: "refused", words: `${sentenceOf(rule.reason)}; ${rule.remedy}${accepted}` };
    }
  }
}

/** With a capital, unless it begins with a name such as lora_A. */
function sentenceOf(words: string): string {
  if (/^\w*_/.test(words)) return words;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function schemaAt(path: string): unknown {
  const [group, field] = path.split(".") as [string, string | undefined];
  return field === undefined
    ? jobSpecSchema.shape[group as keyof typeof jobSpecSchema.shape]
    : SHAPES[group as Group][field];
}

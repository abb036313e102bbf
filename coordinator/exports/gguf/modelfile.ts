/** Ollama's Modelfile beside a GGUF file. Ollama does not run Jinja: known chat templates are written in its own form. */

interface KnownTemplate {
  /** Occurs in the Jinja template. */
  readonly mark: RegExp;
  readonly template: string;
  readonly stops: readonly string[];
  /** Finds the text of a system turn at the start of a chat. */
  readonly system?: RegExp;
}

/** The first one whose mark is there. */
const KNOWN: readonly KnownTemplate[] = [
  // Phi-4's, which has the tokens of ChatML.
  {
    mark: /<\|im_sep\|>/,
    template:
      `{{- range .Messages }}<|im_start|>{{ .Role }}<|im_sep|>{{ .Content }}<|im_end|>{{ end }}<|im_start|>assistant<|im_sep|>`,
    stops: ["<|im_end|>"],
  },
  {
    mark: /<\|im_start\|>/,
    template: `{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
`,
    stops: ["<|im_end|>"],
    system: /^<\|im_start\|>system\n([^]*?)<\|im_end\|>/,
  },
  {
    mark: /<\|start_header_id\|>/,
    template: `{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>

`,
    stops: ["<|eot_id|>"],
  },
  {
    mark: /\[INST\]/,
    template:
      `{{- range .Messages }}{{ if eq .Role "assistant" }} {{ .Content }}</s>{{ else }}[INST] {{ .Content }} [/INST]{{ end }}{{ end }}`,
    stops: ["[INST]", "</s>"],
  },
  // Gemma has no system turn: its text stands before the user's first.
  {
    mark: /<start_of_turn>/,
    template:
      `{{- $system := "" }}{{ range .Messages }}{{ if eq .Role "system" }}{{ $system = printf "%s\\n\\n" .Content }}{{ else if eq .Role "assistant" }}<start_of_turn>model
{{ .Content }}<end_of_turn>
{{ else }}<start_of_turn>user
{{ $system }}{{ .Content }}<end_of_turn>
{{ $system = "" }}{{ end }}{{ end }}<start_of_turn>model
`,
    stops: ["<end_of_turn>"],
  },
  // Phi-3's, with lines.
  {
    mark: /<\|end\|>('\s*\+\s*')?(\\n|\n)/,
    template: `{{- range .Messages }}<|{{ .Role }}|>
{{ .Content }}<|end|>
{{ end }}<|assistant|>
`,
    stops: ["<|end|>"],
  },
  // Phi-4-mini's, without.
  {
    mark: /<\|end\|>/,
    template: `{{- range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>`,
    stops: ["<|end|>"],
  },
];

/** A model without a template, or with one that is not known, gets its prompt as it is. */
const PLAIN: Omit<KnownTemplate, "mark"> = { template: "{{ .Prompt }}", stops: [] };

export interface ChatOfModel {
  /** The Jinja template. */
  readonly template: string;
  /** What it makes of a question without a system turn; null if it refuses that. */
  readonly example: string | null;
}

/**
 * @param from the GGUF file, or the base model for an adapter
 * @param adapter the adapter's file; null for a whole model
 * @param chat null for a base model without chats
 */
export function modelfile(from: string, adapter: string | null, chat: ChatOfModel | null): string {
  const { template, stops, system } = KNOWN.find(({ mark }) => chat !== null && mark.test(chat.template)) ??
    PLAIN;
  // The system turn that the training's chats had where the rows gave none.
  const own = system?.exec(chat?.example ?? "")?.[1] ?? "";
  return [
    `FROM ${from}`,
    ...adapter === null ? [] : [`ADAPTER ${adapter}`],
    `TEMPLATE """${template}"""`,
    ...own === "" || own.includes('"""') ? [] : [`SYSTEM """${own}"""`],
    ...stops.map((stop) => `PARAMETER stop "${stop}"`),
    "PARAMETER temperature 0",
    "",
  ].join("\n");
}

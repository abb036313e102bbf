/** Ollama's Modelfile beside a GGUF file. Ollama does not run Jinja: known chat templates are written in its own form. */

interface KnownTemplate {
  /** Occurs in the Jinja template. */
  readonly mark: string;
  readonly template: string;
  readonly stops: readonly string[];
}

const KNOWN: readonly KnownTemplate[] = [
  {
    mark: "<|im_start|>",
    template: `{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
`,
    stops: ["<|im_end|>"],
  },
  {
    mark: "<|start_header_id|>",
    template: `{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>

`,
    stops: ["<|eot_id|>"],
  },
  {
    mark: "[INST]",
    template:
      `{{- range .Messages }}{{ if eq .Role "assistant" }} {{ .Content }}</s>{{ else }}[INST] {{ .Content }} [/INST]{{ end }}{{ end }}`,
    stops: ["[INST]", "</s>"],
  },
];

/** A model without a template, or with one that is not known, gets its prompt as it is. */
const PLAIN: Omit<KnownTemplate, "mark"> = { template: "{{ .Prompt }}", stops: [] };

/**
 * @param from the GGUF file, or the base model for an adapter
 * @param adapter the adapter's file; null for a whole model
 */
export function modelfile(from: string, adapter: string | null, chatTemplate: string | null): string {
  const { template, stops } = KNOWN.find(({ mark }) => chatTemplate?.includes(mark)) ?? PLAIN;
  return [
    `FROM ${from}`,
    ...adapter === null ? [] : [`ADAPTER ${adapter}`],
    `TEMPLATE """${template}"""`,
    ...stops.map((stop) => `PARAMETER stop "${stop}"`),
    "PARAMETER temperature 0",
    "",
  ].join("\n");
}

/** Compares what templates_trl.py rendered with what we render: a line for each template, a column for each chat. */
import { LoraFleetError } from "../../shared/errors.ts";
import { createChatTemplate, type Rendered } from "../../shared/data/chat_template.ts";
import { parseJson } from "../../shared/data/python/parse_json.ts";
import type { PyValue } from "../../shared/data/python/value.ts";

interface Result {
  readonly template: string;
  readonly source: string;
  readonly chat: string;
  readonly text?: string;
  readonly generated?: readonly (readonly [number, number])[];
  readonly error?: string;
}

const specialTokens = { bos: "<s>", eos: "</s>", pad: "<pad>", unk: "<unk>" };
const path = Deno.args[0];
if (path === undefined) throw new Error("usage: deno run -A templates_trl.ts RESULTS.json");
const results: Result[] = JSON.parse(await Deno.readTextFile(path));
const chatsText = await Deno.readTextFile(new URL("./chats.json", import.meta.url));
const chats = new Map(
  (parseJson(chatsText) as Map<string, PyValue>[]).map((chat) => [String(chat.get("name")), chat]),
);

function renderOurs({ source, chat }: Result): Rendered | Error {
  const fields = chats.get(chat)!;
  // transformers gives templates a date whether they ask for it or not (decision 0007 keeps it from those that ask).
  const asked = source.replaceAll("strftime_now is defined", "true").replaceAll(
    "strftime_now is not defined",
    "false",
  );
  try {
    return createChatTemplate({ chatTemplate: asked, specialTokens }).render(
      fields.get("messages") as Map<string, PyValue>[],
      {
        tools: fields.get("tools") ?? null,
        documents: fields.get("documents") ?? null,
        addGenerationPrompt: fields.get("prompt") === true,
        kwargs: (fields.get("kwargs") ?? new Map()) as Map<string, PyValue>,
      },
    );
  } catch (error) {
    if (error instanceof LoraFleetError) return error;
    throw error;
  }
}

/** transformers counts code points. */
function inCodePoints({ text, generated }: Rendered): number[][] {
  return generated.map((range) => range.map((units) => Array.from(text.slice(0, units)).length));
}

const counts: Record<string, number> = { "=": 0, m: 0, r: 0, "≠": 0, M: 0, "!": 0 };
const rows = new Map<string, string>();
for (const result of results) {
  const ours = renderOurs(result);
  let mark: string;
  if (ours instanceof Error) mark = result.error === undefined ? "!" : "r";
  else if (result.error !== undefined) mark = "!";
  else if (ours.text !== result.text) mark = "≠";
  else if (JSON.stringify(inCodePoints(ours)) !== JSON.stringify(result.generated)) mark = "M";
  else mark = ours.generated.length > 0 ? "m" : "=";
  counts[mark]!++;
  rows.set(result.template, (rows.get(result.template) ?? "") + mark);
  if ("≠M!".includes(mark) && Deno.args.includes("--show")) {
    console.log(result.template, "×", result.chat);
    console.log("  theirs:", JSON.stringify(result.text ?? result.error));
    console.log("  ours:  ", ours instanceof Error ? ours.message : JSON.stringify(ours.text));
  }
}
const width = Math.max(...[...rows.keys()].map((name) => name.length));
for (const [name, marks] of rows) console.log(name.padEnd(width), marks);
console.log(
  `${rows.size} templates x ${chats.size} chats: ${
    counts["="]! + counts["m"]!
  } equal ("=", with equal masks "m"), ` +
    `${counts["r"]} refused by both ("r"), ${counts["≠"]} other text ("≠"), ${
      counts["M"]
    } other mask ("M"), ` +
    `${counts["!"]} refused by one ("!")`,
);

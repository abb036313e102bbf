/** Compares what templates_trl.py rendered with what we render: a line for each template, a column for each chat. */
import {
  type ChatGolden,
  judge,
  parseChats,
  renderChat,
  type Verdict,
} from "../../shared/data/chat/template/chat_goldens.ts";
import { LoraFleetError } from "../../shared/errors.ts";

const MARKS: Readonly<Record<Verdict, string>> = {
  "equal": "=",
  "equal mask": "m",
  "both refuse": "r",
  "other text": "T",
  "other mask": "M",
  "one refuses": "!",
};

const path = Deno.args[0];
if (path === undefined) throw new Error("usage: deno run -A templates_trl.ts RESULTS.json [--show]");
const results: (ChatGolden & { readonly source: string })[] = JSON.parse(await Deno.readTextFile(path));
const chats = parseChats(await Deno.readTextFile(new URL("./chats.json", import.meta.url)));

/** transformers gives templates a date whether they ask for it or not; decision 0007 keeps it from those that ask. */
function withDate(source: string): string {
  return source.replaceAll("strftime_now is defined", "true").replaceAll(
    "strftime_now is not defined",
    "false",
  );
}

const counts = new Map<Verdict, number>();
const rows = new Map<string, string>();
for (const result of results) {
  const ours = renderChat(withDate(result.source), chats.get(result.chat)!);
  const verdict = judge(ours, result);
  counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  rows.set(result.template, (rows.get(result.template) ?? "") + MARKS[verdict]);
  if (Deno.args.includes("--show") && "TM!".includes(MARKS[verdict])) {
    console.log(result.template, "x", result.chat);
    console.log("  theirs:", JSON.stringify(result.text ?? result.error));
    console.log("  ours:  ", ours instanceof LoraFleetError ? ours.message : JSON.stringify(ours));
  }
}
const width = Math.max(...[...rows.keys()].map((name) => name.length));
for (const [name, marks] of rows) console.log(name.padEnd(width), marks);
console.log(`${rows.size} templates x ${chats.size} chats`);
for (const [verdict, mark] of Object.entries(MARKS)) {
  console.log(`  ${mark}  ${verdict}: ${counts.get(verdict as Verdict) ?? 0}`);
}

/** Our tokenizer on one core: tokens, SHA-256 of all ids, CPU seconds, as JSON. Run by main.ts with a model's folder and a file. */
import { createHash } from "node:crypto";
import process from "node:process";
import { loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";

const [model, path] = Deno.args as [string, string];
const tokenizer = await loadTokenizer(model);
const texts = (await Deno.readTextFile(path)).trimEnd().split("\n").map((line) =>
  JSON.parse(line).text as string
);
const digest = createHash("sha256");
let [tokens, cpu] = [0, 0];
for (let at = 0; at < texts.length; at += 1000) {
  const before = process.cpuUsage();
  const batch = texts.slice(at, at + 1000).map((text) => tokenizer.encode(text, { addSpecialTokens: false }));
  const { user, system } = process.cpuUsage(before);
  cpu += user + system;
  for (const ids of batch) {
    tokens += ids.length;
    digest.update(new Uint8Array(Uint32Array.from(ids).buffer));
  }
}
console.log(JSON.stringify({ tokens, sha256: digest.digest("hex"), cpu_s: cpu / 1e6 }));

/** Compares a file of make_template_goldens.py with what we render: deno run -A compare_templates.ts FILE [--show N] */
import { compareGoldens, readGoldens } from "../../shared/data/jinja/jinja_goldens.ts";

const [path, , shown] = Deno.args;
if (path === undefined) throw new Error("usage: deno run -A compare_templates.ts FILE [--show N]");
const goldens = await readGoldens(path);
const differences = compareGoldens(goldens);
for (const { source, theirs, ours } of differences.slice(0, Number(shown ?? 20))) {
  console.log(JSON.stringify(source));
  console.log("  theirs:", JSON.stringify(theirs));
  console.log("  ours:  ", ours);
}
console.log(`${goldens.cases.length} cases, ${differences.length} differences`);

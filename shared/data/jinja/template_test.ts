import { assertEquals } from "@std/assert";
import { compareGoldens, readGoldens } from "./jinja_goldens.ts";

Deno.test("templates give Jinja2's text, or are refused by both", async () => {
  const goldens = await readGoldens(new URL("./jinja_goldens.json.gz", import.meta.url));
  assertEquals(goldens.cases.length > 9000, true);
  assertEquals(compareGoldens(goldens).slice(0, 5), []);
});

Deno.test("the comparison finds a different text, and a refusal by one side alone", () => {
  const cases = [["{{ 1 }}", "2"], ["{{ 1 }}", null], ["{{ nope }", "1"], ["{{ 1 }}", "1"]] as const;
  assertEquals(compareGoldens({ values: "{}", cases }).map(({ source }) => source), [
    "{{ 1 }}",
    "{{ 1 }}",
    "{{ nope }",
  ]);
});

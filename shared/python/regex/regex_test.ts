import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import golden from "../../../tests/golden/regex.json" with { type: "json" };
import { LoraFleetError } from "../../errors.ts";
import { compileFullMatch } from "./regex.ts";

/** As golden_regex.py writes it; a pattern that is refused as unsupported has its message instead. */
function resultOf(pattern: string, texts: readonly string[]): string | null {
  try {
    const matches = compileFullMatch(pattern);
    return texts.map((text) => matches(text) ? "1" : "0").join("");
  } catch (thrown) {
    assert(thrown instanceof LoraFleetError && thrown.code === "invalid_request", `${pattern}: ${thrown}`);
    return thrown.message.includes("not supported") ? thrown.message : null;
  }
}

for (
  const [what, patterns, texts] of [
    ["patterns for module names", golden.by_name, golden.names],
    ["random patterns", golden.by_text, golden.texts],
  ] as const
) {
  Deno.test(`Python's re.fullmatch and ours agree: ${what}`, () => {
    let unsupported = 0;
    for (const [pattern, expected] of Object.entries<string | null>(patterns)) {
      const ours = resultOf(pattern, texts);
      if (ours?.includes("not supported")) unsupported++;
      else assertEquals(ours, expected, pattern);
    }
    assertLess(unsupported, Object.keys(patterns).length / 10);
  });
}

Deno.test("what is not supported says so and where", () => {
  for (
    const [pattern, words] of [
      ["(q)_\\1", "at character 7 of"],
      ["(?P<a>q)(?P=a)", "references to groups"],
      ["(q)(?(1)a|b)", "references to groups"],
      ["q++", "possessive"],
      ["(?>q)", "atomic"],
      ["(?i)Q_PROJ", "a flag that is not supported"],
      ["a".repeat(1001), "1001 characters; at most 1000"],
      ["(".repeat(60) + ")".repeat(60), "nested more than 50 deep"],
    ] as const
  ) {
    const error = assertThrows(() => compileFullMatch(pattern), LoraFleetError, words);
    assertEquals(error.code, "invalid_request");
  }
});

Deno.test("no pattern takes long: what makes backtracking engines hang is answered or refused at once", () => {
  const names = Array.from({ length: 560 }, (_, i) => `model.layers.${i}.self_attn.q_proj`);
  const began = performance.now();
  for (
    const pattern of [
      "((.*)*)*x",
      "(.*.*.*.*.*.*.*.*)+x",
      "(a|.)*(b|.)*(.|c)*x",
      "(?=(.*)*x).*",
      `${"(".repeat(40)}.${"{1,40})".repeat(40)}x`,
      `${".*".repeat(480)}x`,
    ]
  ) {
    try {
      const matches = compileFullMatch(pattern);
      assertEquals(names.some(matches), false, pattern);
    } catch (thrown) {
      assert(thrown instanceof LoraFleetError && thrown.message.includes("takes too long"), `${thrown}`);
    }
  }
  assertLess(performance.now() - began, 10_000);
});

import { assertEquals } from "@std/assert";
import { pcg32 } from "../prng.ts";
import { createSubjectTree, subjectMatches } from "./subject_tree.ts";

Deno.test("a star is one token, a greater-than at the end is one or more", () => {
  assertEquals(subjectMatches("a.*.c", "a.b.c"), true);
  assertEquals(subjectMatches("a.*.c", "a.c"), false);
  assertEquals(subjectMatches("a.*", "a.b.c"), false);
  assertEquals(subjectMatches("a.>", "a.b.c"), true);
  assertEquals(subjectMatches("a.>", "a"), false);
  assertEquals(subjectMatches(">", "a"), true);
  assertEquals(subjectMatches("a.b", "a.b.c"), false);
  assertEquals(subjectMatches("a.b.c", "a.b"), false);
});

Deno.test("matches come in the order of addition and end with removal", () => {
  const tree = createSubjectTree<string>();
  tree.add("a.b", "exact");
  const remove = tree.add("a.*", "star");
  tree.add(">", "all");
  tree.add("a.b", "exact again");
  assertEquals(tree.match("a.b"), ["exact", "star", "all", "exact again"]);
  remove();
  assertEquals(tree.match("a.b"), ["exact", "all", "exact again"]);
  assertEquals(tree.match("a.x"), ["all"]);
});

Deno.test("the tree agrees with a regular expression on random patterns", () => {
  const random = pcg32(7);
  const token = (choices: string[]) => choices[random.below(choices.length)]!;
  for (let round = 0; round < 300; round++) {
    const patterns = Array.from({ length: 6 }, () => {
      const tokens = Array.from({ length: 1 + random.below(3) }, () => token(["a", "b", "*"]));
      return (random.below(3) === 0 ? [...tokens, ">"] : tokens).join(".");
    });
    const tree = createSubjectTree<number>();
    const removals = patterns.map((pattern, index) => tree.add(pattern, index));
    const gone = random.below(patterns.length);
    removals[gone]!();
    const subject = Array.from({ length: 1 + random.below(4) }, () => token(["a", "b", "c"])).join(".");
    const expected = patterns.flatMap((pattern, index) => {
      const source = pattern.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(/>$/, ".+");
      return index !== gone && new RegExp(`^${source}$`).test(subject) ? [index] : [];
    });
    assertEquals(tree.match(subject), expected, `${patterns.join(" ")} against ${subject}`);
  }
});

Deno.test("a second removal removes nothing else", () => {
  const tree = createSubjectTree<string>();
  const remove = tree.add("a.b", "first");
  remove();
  tree.add("a.b", "second");
  remove();
  assertEquals(tree.match("a.b"), ["second"]);
});

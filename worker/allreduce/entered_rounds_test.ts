import { assertEquals } from "@std/assert";
import { EnteredRounds } from "./entered_rounds.ts";

const id = (term: number, step: number) => ({ term, step, attempt: 1, generation: 7 });
const frame = (jobHash: number, step: number) => ({ jobHash, step, attempt: 1, generation: 7 });

Deno.test("frames up to the newest round of the term are over, later ones and those of unknown terms are not", () => {
  const rounds = new EnteredRounds();
  assertEquals(rounds.isOver(frame(11, 1)), false);
  rounds.add(id(1, 3), 11);
  assertEquals([2, 3, 4].map((step) => rounds.isOver(frame(11, step))), [true, true, false]);
  assertEquals(rounds.isOver(frame(22, 1)), false);
});

Deno.test("a new term makes every frame of the one before stale, until that term is entered again", () => {
  const rounds = new EnteredRounds();
  rounds.add(id(1, 3), 11);
  rounds.add(id(2, 1), 22);
  assertEquals([rounds.isOver(frame(11, 9)), rounds.isOver(frame(22, 2))], [true, false]);
  rounds.add(id(1, 4), 11);
  assertEquals([rounds.isOver(frame(11, 5)), rounds.isOver(frame(22, 2))], [false, true]);
});

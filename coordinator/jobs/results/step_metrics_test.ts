import { assertEquals } from "@std/assert";
import { stepMetricsCsv } from "./step_metrics.ts";
import { openSqliteJobStore } from "../stores/sqlite_job_store.ts";

Deno.test("each step is one CSV line of its newest commit, in OpenAI's columns", () => {
  const store = openSqliteJobStore(":memory:");
  const add = (jobId: string, type: "metrics" | "message", data: Record<string, unknown> | null) =>
    void store.appendEvents([{ jobId, createdAt: 1, level: "info", type, message: "m", data }]);
  for (let step = 1; step <= 1200; step++) add("a", "metrics", { step, train_loss: 1 / step });
  add("a", "message", { step: 9999 });
  add("b", "metrics", { step: 7, train_loss: 7 });
  add("a", "metrics", { step: 2, train_loss: 0.25 });
  add("a", "metrics", { step: 1201, train_loss: null });
  const lines = [...stepMetricsCsv(store, "a")].join("").split("\n");
  assertEquals(lines.slice(0, 4), [
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy",
    "1,1,,,",
    "2,0.25,,,",
    `3,${1 / 3},,,`,
  ]);
  assertEquals(lines.slice(-3), [`1200,${1 / 1200},,,`, "1201,,,,", ""]);
  assertEquals(lines.length, 1203);
  assertEquals([...stepMetricsCsv(store, "c")].length, 1);
});

Deno.test("steps that a rollback has made void are no lines, unless they are committed again", () => {
  const store = openSqliteJobStore(":memory:");
  const add = (data: Record<string, unknown>, type: "metrics" | "message" = "metrics") =>
    void store.appendEvents([{ jobId: "a", createdAt: 1, level: "info", type, message: "m", data }]);
  for (let step = 1; step <= 6; step++) add({ step, train_loss: step, valid_loss: 9 });
  add({ rolled_back_to: 2 }, "message");
  add({ step: 3, train_loss: 0.5 });
  assertEquals([...stepMetricsCsv(store, "a")].slice(1), ["1,1,,9,\n", "2,2,,9,\n", "3,0.5,,,\n"]);
});

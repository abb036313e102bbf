import { assertEquals } from "@std/assert";
import { jobFixture } from "../record/job_fixture.ts";
import { cleanTexts } from "./clean_texts.ts";
import { openSqliteJobStore } from "./sqlite_job_store.ts";

Deno.test("events and errors are stored clean, with the job or alone", () => {
  const inner = openSqliteJobStore(":memory:");
  const store = cleanTexts(inner, (text) => text.replaceAll("secret", "…"));
  const event = { jobId: "a", createdAt: 1, level: "info", type: "message", data: null } as const;
  const error = { code: "storage", message: "a secret path", param: null };
  store.putJob(jobFixture("a", { status: "failed", error }), [{ ...event, message: "secret 1" }]);
  store.appendEvents([{ ...event, message: "2 secrets" }]);
  assertEquals(inner.job("a")?.error?.message, "a … path");
  assertEquals(inner.eventsSince("a", 0, 9).map(({ message }) => message), ["… 1", "2 …s"]);
  store.putJob(jobFixture("b"), []);
  assertEquals(inner.job("b"), jobFixture("b"));
  inner.close();
});

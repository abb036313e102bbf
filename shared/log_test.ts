import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "./errors.ts";
import { createLogger, detailOf, logAbout, parseLogFormat, parseLogLevel } from "./log.ts";

Deno.test("a line has its time and level, and no secret", () => {
  const lines: string[] = [];
  const { log, print, secrets } = createLogger({
    clock: { now: () => 0 },
    level: "info",
    write: (line) => lines.push(line),
  });
  secrets.add("hunter22");
  log("info", "asking http://h/join/abc");
  log("debug", "not shown");
  log("error", "the password is hunter22\nin two lines");
  print("usage: hunter22");
  assertEquals(lines, [
    "1970-01-01T00:00:00.000Z info  asking http://h/join/[redacted]",
    "1970-01-01T00:00:00.000Z error the password is [redacted]\nin two lines",
    "usage: [redacted]",
  ]);
});

Deno.test("a line of JSON has what it is about, and no secret, not even one that JSON escapes", () => {
  const lines: string[] = [];
  const { log, secrets } = createLogger({
    clock: { now: () => 0 },
    level: "info",
    format: "json",
    write: (line) => lines.push(line),
  });
  secrets.add('hunter"22');
  const about = logAbout(log, { worker: "w1" });
  about("warn", 'the password is "hunter"22"\nin two lines', { job: "ftjob-1" });
  log("info", "ready");
  const time = "1970-01-01T00:00:00.000Z";
  const message = 'the password is "[redacted]"\nin two lines';
  assertEquals(lines.map((line) => JSON.parse(line)), [
    { time, level: "warn", message, worker: "w1", job: "ftjob-1" },
    { time, level: "info", message: "ready" },
  ]);
});

Deno.test("an unknown level or format is refused", () => {
  assertEquals([undefined, "", "debug", "WARN"].map(parseLogLevel), ["info", "info", "debug", "warn"]);
  assertThrows(() => parseLogLevel("loud"), LoraFleetError, `LORAFLEET_LOG_LEVEL is "loud"`);
  assertEquals([undefined, "JSON"].map(parseLogFormat), ["text", "json"]);
  assertThrows(
    () => parseLogFormat("xml"),
    LoraFleetError,
    `LORAFLEET_LOG_FORMAT is "xml"; one of text, json`,
  );
});

Deno.test("an error of ours shows its message, any other its stack", () => {
  assertEquals(detailOf(new LoraFleetError("timeout", "too late")), "too late");
  assertEquals(detailOf(new TypeError("x is no y")).startsWith("TypeError: x is no y\n    at "), true);
  assertEquals(detailOf("text"), "text");
});

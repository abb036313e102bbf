import { assertEquals } from "@std/assert";
import { askedDelayMs, HUB_PATIENCE, isRetryableStatus, retryDelayMs } from "./retry_delay.ts";

Deno.test("delays double up to a limit, with jitter", () => {
  const delays = [1, 2, 3, 9].map((failures) => retryDelayMs(failures, null, 0.999, HUB_PATIENCE)!);
  assertEquals(delays.map((delay) => Math.round(delay / 1000)), [1, 2, 4, 30]);
  assertEquals(retryDelayMs(3, null, 0, HUB_PATIENCE), 2000);
});

Deno.test("a hub's own word is obeyed, up to the patience", () => {
  assertEquals(retryDelayMs(1, 60_000, 0, HUB_PATIENCE), 60_250);
  assertEquals(retryDelayMs(1, 3_600_000, 0, HUB_PATIENCE), null);
  assertEquals(askedDelayMs(new Headers({ "retry-after": "7" }), 0), 7000);
  const date = new Headers({ "retry-after": "Thu, 01 Jan 1970 00:00:09 GMT" });
  assertEquals([askedDelayMs(date, 4000), askedDelayMs(date, 90_000)], [5000, 0]);
  assertEquals(askedDelayMs(new Headers({ ratelimit: '"api";r=0;t=55' }), 0), 55_000);
  assertEquals(askedDelayMs(new Headers({ ratelimit: '"api";r=12;t=55' }), 0), null);
  assertEquals(askedDelayMs(new Headers(), 0), null);
});

Deno.test("refusals are final, outages are not", () => {
  assertEquals([429, 500, 502, 503, 504, 408].every(isRetryableStatus), true);
  assertEquals([400, 401, 403, 404, 412, 416, 501].some(isRetryableStatus), false);
});

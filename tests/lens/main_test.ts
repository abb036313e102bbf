import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";

async function lens(args: readonly string[], env: Record<string, string> = {}) {
  const main = fromFileUrl(new URL("main.ts", import.meta.url));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--unstable-webgpu", main, ...args],
    env: { NO_COLOR: "1", ...env },
  }).output();
  return { code, out: new TextDecoder().decode(stdout), error: new TextDecoder().decode(stderr) };
}

Deno.test("the report adds up: the kinds' dispatches, FLOPs and bytes are the step's", async () => {
  const { code, out } = await lens([
    "--model",
    "tinyllama-1b",
    "--card",
    "rtx4090",
    "--tokens",
    "512",
    "--json",
  ]);
  assertEquals(code, 0);
  const { step, kernels, planned_bytes, memory_bytes } = JSON.parse(out);
  for (const name of ["dispatches", "workgroups", "flops", "bytes"]) {
    const sum = Object.values(kernels as Record<string, Record<string, number>>)
      .reduce((total, kind) => total + kind[name]!, 0);
    assertEquals(sum, step[name], name);
  }
  assert(step.longest_submit_ms <= step.predicted_ms);
  assertEquals(Math.round(step.tokens_per_second), Math.round(512 / step.predicted_ms * 1000));
  assert(planned_bytes < memory_bytes);
});

Deno.test("a model that does not fit ends with the plan's own words and exit code 1, a wrong option with 2", async () => {
  const refused = await lens(["--model", "llama2-70b", "--lora-r", "8", "--card", "rtx3090"]);
  assertEquals(refused.code, 1);
  assertMatch(refused.error, /^Planning memory failed: .* and RTX 3090 has 22\.80 GiB for it/);
  const wrong = await lens(["--card", "voodoo2"]);
  assertEquals(wrong.code, 2);
  assertMatch(wrong.error, /^--card is "voodoo2"; one of rtx3090, /);
});

Deno.test("--isa without its tools says what to install", async () => {
  const { code, error } = await lens(["--model", "tinyllama-1b", "--tokens", "64", "--isa"], { PATH: "" });
  assertEquals(code, 1);
  assertMatch(error, /^Compiling kernels failed: there is no .* Install /);
});

Deno.test("--kernels lists every dispatch", async () => {
  const { out } = await lens(["--model", "tinyllama-1b", "--tokens", "256", "--kernels", "--json"]);
  const { dispatches, step } = JSON.parse(out) as {
    dispatches: { times: number; groups: number[] }[];
    step: Record<string, number>;
  };
  const counted = dispatches.reduce((sum, { times, groups }) => sum + (groups.length > 0 ? times : 0), 0);
  assertEquals(counted, step["dispatches"]);
});

/** `deno task demo`: everything on this machine, from set-up to a tuned adapter. */
import { runCommand, runMain } from "../machine/command.ts";
import { formatDuration } from "../terminal/progress.ts";
import { formatSamples } from "../terminal/samples.ts";
import { runDemo } from "./demo.ts";
import { type DemoOptions, parseOptions, USAGE } from "./options.ts";

const SAMPLE_COUNT = 8;

function main(options: DemoOptions): Promise<number> {
  return runCommand("demo", async (context) => {
    const startedAt = context.clock.now();
    const { report, baseSamples, tunedSamples } = await runDemo(options, { ...context, startedAt });
    console.log(`\n${formatSamples(baseSamples, tunedSamples, SAMPLE_COUNT)}\n`);
    const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
    const [base, tuned] = [percent(report.base.exact_match), percent(report.tuned.exact_match)];
    console.log(`exact match on ${report.tuned.prompt_count} held-out prompts: base ${base}, tuned ${tuned}`);
    const duration = formatDuration(report.wall_seconds);
    console.log(`${options.outFolder} holds the adapter and report.json, after ${duration}`);
  });
}

await runMain("demo", USAGE, parseOptions, main);

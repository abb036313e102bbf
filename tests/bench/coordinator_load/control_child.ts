/** Starts the control process, and reports what delayed it. */
import { toText } from "@std/streams";
import { fromFileUrl } from "@std/path";
import type { ControlReport } from "./control.ts";

export function startControl(folder: string): { report(): Promise<string> } {
  const script = fromFileUrl(new URL("control.ts", import.meta.url));
  const stolenBefore = stolenSeconds();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", "--no-check", script, "--folder", folder],
    ...{ stdin: "piped", stdout: "piped" },
  }).spawn();
  return {
    async report() {
      await child.stdin.close();
      const { longestGapMs, gapAtSecond, longestSyncMs, syncAtSecond }: ControlReport = JSON.parse(
        await toText(child.stdout),
      );
      await child.status;
      const stolen = (stolenSeconds() - stolenBefore).toFixed(1);
      return `a process that only sleeps: late by ${
        longestGapMs.toFixed(0)
      } ms at most, at second ${gapAtSecond}; its 8 KiB on ` +
        `the disk after ${
          longestSyncMs.toFixed(0)
        } ms at most, at second ${syncAtSecond}; ${stolen} s of both cores stolen by the host`;
    },
  };
}

/** Time that the hypervisor gave to others, of all cores: the eighth number of /proc/stat, in hundredths of a second. */
function stolenSeconds(): number {
  const [, ...ticks] = Deno.readTextFileSync("/proc/stat").split("\n")[0]!.split(/\s+/);
  return Number(ticks[7]) / 100;
}

/** Pushes an export's folder to the hub in a process of its own. The token goes through a pipe. */
import { type ChildOptions, runChild } from "./child.ts";
import type { PushTask } from "./export_messages.ts";

interface PushResult {
  readonly url: string;
  readonly commit: string;
}

export type RunPush = (task: PushTask, options: ChildOptions) => Promise<PushResult>;

/** Rejects as `runChild`. */
export const runPushChild: RunPush = async (task, options) => {
  const program = {
    script: new URL("./push_process.ts", import.meta.url),
    permissions: ["--allow-read", "--allow-net", "--allow-env", "--allow-sys=setPriority"],
    cwd: task.folder,
  };
  const outcome = await runChild(program, task, options);
  if (outcome.type === "pushed") return outcome;
  throw new Error(`a push's process reports ${outcome.type}`);
};

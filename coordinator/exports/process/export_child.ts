/** Runs an export in a process of its own. */
import type { WrittenFile } from "../files/output_folder.ts";
import { type ChildOptions, runChild } from "./child.ts";
import type { ExportTask } from "./export_messages.ts";

export type RunExport = (task: ExportTask, options: ChildOptions) => Promise<readonly WrittenFile[]>;

/** Rejects as `runChild`. */
export const runExportChild: RunExport = async (task, options) => {
  const program = {
    script: new URL("./export_process.ts", import.meta.url),
    // Relative to its working folder: a path with a comma could not be in the list.
    permissions: ["--allow-read", "--allow-write=.", "--allow-sys=setPriority,statfs"],
    cwd: task.outputFolder,
  };
  const outcome = await runChild(program, task, options);
  if (outcome.type === "done") return outcome.files;
  throw new Error(`an export's process reports ${outcome.type}`);
};

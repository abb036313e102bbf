/** An export's process. */
import { exportTaskSchema } from "./export_messages.ts";
import { runExport } from "./run_export.ts";
import { serveTask } from "./serve_task.ts";

await serveTask(async (task, report) => {
  const files = await runExport(exportTaskSchema.parse(task), { report });
  return { type: "done", files: [...files] };
});

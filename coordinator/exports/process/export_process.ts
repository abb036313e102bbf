/** An export's process. */
import { systemClock } from "../../../shared/clock.ts";
import { exportTaskSchema } from "./export_messages.ts";
import { runExport } from "./run_export.ts";
import { serveTask } from "./serve_task.ts";

await serveTask(async (task, report) => {
  const files = await runExport(exportTaskSchema.parse(task), { report, pause: () => systemClock.sleep(0) });
  return { type: "done", files: [...files] };
});

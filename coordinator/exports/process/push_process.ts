/** A push's process. */
import type { HubProgress } from "../../../shared/hub/download_repo.ts";
import { pushFolder } from "../../../shared/hub/push_folder.ts";
import { pushTaskSchema } from "./export_messages.ts";
import { serveTask } from "./serve_task.ts";

await serveTask(async (task, report) => {
  const { folder, hub, title, ...target } = pushTaskSchema.parse(task);
  let planned = -1;
  const onProgress = ({ doneBytes, totalBytes }: HubProgress) => {
    if (planned !== totalBytes) report({ type: "planned", bytes: planned = totalBytes });
    report({ type: "progress", bytes: doneBytes });
  };
  const { url, commit } = await pushFolder(folder, target, { hub, title }, onProgress);
  return { type: "pushed", url, commit };
});

/** A push's process. */
import { pushFolder } from "../../../shared/hub/push_folder.ts";
import { pushTaskSchema } from "./export_messages.ts";
import { serveTask } from "./serve_task.ts";

await serveTask(async (task, report) => {
  const { folder, hub, title, ...target } = pushTaskSchema.parse(task);
  const onProgress = ({ doneBytes: bytes }: { readonly doneBytes: number }) =>
    report({ type: "progress", bytes });
  const { url, commit } = await pushFolder(folder, target, { hub, title }, onProgress);
  return { type: "pushed", url, commit };
});

/** Pushes a folder as a process that a test can kill: `push_child.ts <endpoint> <token> <folder> <repo>`. */
import { pushFolder } from "../../shared/hub/push_folder.ts";

const [endpoint, token, folder, repo] = Deno.args as [string, string, string, string];
const hub = { endpoint, token, cacheFolder: "/nowhere", offline: false };
const pushed = await pushFolder(folder, { repo, isPrivate: true }, { hub, title: "Upload" });
console.log(pushed.commit);

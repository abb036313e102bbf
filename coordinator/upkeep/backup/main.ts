/** `deno task backup` and `deno task restore`. Exit codes: 0 done, 1 failed, 2 usage. */
import { systemClock } from "../../../shared/clock.ts";
import { counted } from "../../../shared/counted.ts";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { detailOf } from "../../../shared/log.ts";
import { writeBackup } from "./backup_command.ts";
import { BACKUP_USAGE, parseBackupOptions, parseRestoreOptions, RESTORE_USAGE } from "./options.ts";
import { restoreBackup } from "./restore.ts";

async function backup(args: readonly string[]): Promise<string> {
  const options = parseBackupOptions(args);
  if (options === null) return BACKUP_USAGE;
  const { bytes, missing } = await writeBackup(
    options,
    Deno.env.get("LORAFLEET_API_KEY") || null,
    systemClock.now(),
  );
  for (const path of missing) console.error(`backup: ${quote(path)} is recorded, but not in the data folder`);
  return `${options.out}: ${bytes} bytes`;
}

async function restore(args: readonly string[]): Promise<string> {
  const options = parseRestoreOptions(args);
  if (options === null) return RESTORE_USAGE;
  const { head, fileCount, byteCount } = await restoreBackup(options.from, options.dataFolder);
  return `${options.dataFolder}: ${counted(fileCount, "file")}, ${byteCount} bytes, as of ${head.created_at}`;
}

const [name, ...args] = Deno.args;
try {
  console.log(await (name === "restore" ? restore(args) : backup(args)));
} catch (thrown) {
  const isUsage = thrown instanceof LoraFleetError && thrown.code === "usage";
  console.error(`${name}: ${detailOf(thrown)}${isUsage ? "; --help lists all options" : ""}`);
  Deno.exit(isUsage ? 2 : 1);
}

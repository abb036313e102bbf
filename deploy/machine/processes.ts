/** Other processes of this machine, by their numbers. */
import process from "node:process";

/** Whether no process has this number: false where that cannot be told, or where a later process was given it. */
export function hasEnded(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "ESRCH";
  }
}
